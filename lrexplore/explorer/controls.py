"""The pickers: ipywidgets bound to the state's traits."""

import ipywidgets as w
from traitlets import link

from lrexplore.dual import ACTIVATIONS
from lrexplore.explorer.network import Network
from lrexplore.explorer.state import State
from lrexplore.init import INITIALIZERS
from lrexplore.linalg import SCHEMES

WIDE = {"description_width": "initial"}


class Controls:
    """A row of pickers in `box`: initializer, scheme, activation, batch norm; `title` says what network it is."""

    def __init__(self, state: State, network: Network):
        self._network = network
        self.initializer = w.Dropdown(
            options=list(INITIALIZERS),
            description="initializer",
            tooltip="How the factors are made; plots and readouts follow",
            style=WIDE,
            layout={"width": "200px"},
        )
        self.scheme = w.Dropdown(
            options=list(SCHEMES),
            description="scheme",
            tooltip="channel: k x k convolution to r channels, then 1 x 1; spatial: 1 x k, then k x 1",
            style=WIDE,
            layout={"width": "165px"},
        )
        self.activation = w.Dropdown(
            options=list(ACTIVATIONS),
            description="followed by",
            tooltip="The activation taken to follow the layer; set by what was detected when you change the layer",
            style=WIDE,
            layout={"width": "200px"},
        )
        self.batch_norm = w.Checkbox(
            description="batch norm first",
            tooltip="Whether batch norm is taken to come before the activation",
            indent=False,
            layout={"width": "150px"},
        )
        self._links = [
            link((state, name), (getattr(self, name), "value"))
            for name in ("initializer", "scheme", "activation", "batch_norm")
        ]
        state.observe(lambda change: self._fit(change["new"]), names="layer")
        self._fit(state.layer)
        self.title = w.HTML(f"<b>lrexplore</b>&ensp;{_escape(network.summary())}")
        pickers = [self.initializer, self.scheme, self.activation, self.batch_norm]
        self.box = w.HBox(pickers, layout={"flex_flow": "row wrap", "align_items": "center", "grid_gap": "0 16px"})

    def _fit(self, name: str) -> None:
        """Both schemes are one where the kernel is 1 x 1 or there is none."""
        self.scheme.disabled = self._network.layers[name].kernel_size == (1, 1)

    def close(self) -> None:
        """Unbind and close the widgets."""
        while self._links:
            self._links.pop().unlink()
        for child in (*self.box.children, self.box, self.title):
            child.close()


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
