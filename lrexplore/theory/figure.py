"""The figures of the theory notebooks: panels side by side, filled line by line from plain arrays."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lrexplore.theory.offline import without_sharing
from lrexplore.theory.styles import REFERENCE, STYLES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike


class TheoryFigure:
    """Panels side by side with the given titles; `figure` is the plotly Figure, which a notebook shows.

    Panels are counted from 1. Names and titles are plain text with <i>, <sub> and <sup>: JupyterLab draws no
    LaTeX in figures.
    """

    def __init__(self, *titles: str, height: int = 400, sphere: bool = False):
        """With `sphere` the last panel is a scene in space, without axes."""
        kinds = [{"type": "xy"}] * (len(titles) - sphere) + [{"type": "scene"}] * sphere
        self.figure = make_subplots(1, len(titles), subplot_titles=titles, horizontal_spacing=0.1, specs=[kinds])
        margin = {"l": 60, "r": 15, "t": 56, "b": 50}  # plotly's tools stand above the titles
        without_sharing(self.figure.update_layout(template="plotly_white", height=height, margin=margin))
        for panel in range(1, len(titles) + 1 - sphere):
            self.axes(panel, "", "")
        if sphere:
            hidden = {"visible": False, "showspikes": False}
            self.figure.update_scenes(xaxis=hidden, yaxis=hidden, zaxis=hidden, aspectmode="data")
            self._legend(len(titles), self.figure.layout.scene.domain.x, "bottom left")

    def axes(
        self,
        panel: int,
        x_title: str,
        y_title: str,
        *,
        legend: str = "top right",
        x_range: tuple[float, float] | None = None,
        y_range: tuple[float, float] | None = None,
        log_x: bool = False,
        log_y: bool = False,
    ) -> None:
        """Say what a panel's axes carry and in which corner its legend stands.

        A range is in values, also where the axis is logarithmic.
        """
        self.figure.update_xaxes(col=panel, **_axis(x_title, x_range, log_x))
        self.figure.update_yaxes(col=panel, **_axis(y_title, y_range, log_y))
        self._legend(panel, self.figure.layout[_numbered("xaxis", panel)].domain, legend)

    def _legend(self, panel: int, domain: tuple[float, float], corner: str) -> None:
        left, right = domain
        vertical, horizontal = corner.split()
        place = {
            "x": left + 0.01 if horizontal == "left" else right - 0.01,
            "xanchor": horizontal,
            "y": 0.99 if vertical == "top" else 0.01,
            "yanchor": vertical,
            "bgcolor": "rgba(255, 255, 255, 0.8)",
            "font": {"size": 11},
        }
        self.figure.update_layout({_numbered("legend", panel): place})

    def line(
        self,
        panel: int,
        name: str,
        x: "ArrayLike",
        y: "ArrayLike",
        style: str = "reference",
        *,
        dash: str = "solid",
        marker: str | bool | None = None,
    ) -> None:
        """Add a line to a panel; `style` is an initializer, "reference" or a CSS color.

        With `marker` (a plotly symbol, or True for the initializer's own) its points are marked too.
        """
        mode = "lines+markers" if marker else "lines"
        symbol = marker if isinstance(marker, str) else None
        self._add(panel, name, x, y, style, symbol, mode=mode, line={"dash": dash, "width": 2})

    def points(
        self,
        panel: int,
        name: str,
        x: "ArrayLike",
        y: "ArrayLike",
        style: str = "reference",
        *,
        labels: Sequence[str] | None = None,
        marker: str | None = None,
    ) -> None:
        """Add points to a panel; `labels`, one a point, are shown on hover."""
        self._add(panel, name, x, y, style, marker, mode="markers", text=labels)

    def floor(self, panel: int, name: str, x: "ArrayLike", y: "ArrayLike", color: str = "#117733") -> None:
        """Add a proved lower bound to a panel: a line, and the region under it filled."""
        shade = {"fill": "tozeroy", "fillcolor": "rgba(17, 119, 51, 0.12)"}
        self._add(panel, name, x, y, color, None, mode="lines", line={"dash": "dash", "width": 2}, **shade)

    def errors(self, panel: int, initializer: str, table: "pd.DataFrame") -> None:
        """Add both errors of an `error_curve` table: function error solid, Frobenius error dashed."""
        ranks = table["rank"]
        self.line(panel, f"{initializer}, function error", ranks, table["function_error"], initializer)
        name = f"{initializer}, Frobenius error"
        self.line(panel, name, ranks, table["frobenius_error"], initializer, dash="dash")

    def _add(
        self, panel: int, name: str, x: "ArrayLike", y: "ArrayLike", style: str, symbol: str | None, **options: Any
    ) -> None:
        color, own_symbol = STYLES.get(style, REFERENCE if style == "reference" else (style, "circle"))
        trace = go.Scatter(x=np.asarray(x), y=np.asarray(y), name=name, **options)
        trace.line.color = color
        trace.marker = {"color": color, "symbol": symbol or own_symbol, "size": 5}
        trace.legend = _numbered("legend", panel)
        self._place(trace, panel)

    def _place(self, trace: go.Scatter, panel: int) -> None:
        self.figure.add_trace(trace, row=1, col=panel)


def _axis(title: str, limits: tuple[float, float] | None, log: bool) -> dict:
    axis: dict[str, Any] = {
        "title": title,
        "type": "log" if log else "linear",
        "showline": True,
        "linecolor": "#888888",
        "ticks": "outside",
        "zeroline": False,
    }
    if log:
        axis["tickformat"] = "~g"
    if limits is not None:
        axis["range"] = np.log10(limits).tolist() if log else list(limits)
    return axis


def _numbered(name: str, panel: int) -> str:
    return name if panel == 1 else f"{name}{panel}"
