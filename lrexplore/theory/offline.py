"""plotly Figures that stay on this machine: no button sends what they show away, no link leads there."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHARING = ("sendChartToCloud", "sendDataToCloud", "editInChartStudio")
CONFIG = {"showSendToCloud": False, "displaylogo": False, "typesetMath": False}


def draw_offline() -> None:
    """Have plotly Figures drawn by JupyterLab itself: nothing is asked of the internet, and no button leads there.

    For all Figures of a notebook; text in dollars is shown as it is.
    """
    import plotly.io as pio

    pio.renderers["plotly_mimetype"].config.update(CONFIG)
    pio.renderers.default = "plotly_mimetype"


def without_sharing(figure: "go.Figure") -> "go.Figure":
    """The figure without the buttons that would send it away, however it is drawn."""
    return figure.update_layout(modebar_remove=list(SHARING))


def literal(text: str) -> str:
    """The text as plotly shows it letter by letter: between dollars it would be LaTeX, and after < a tag."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("$", "&#36;")
