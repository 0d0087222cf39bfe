"""The pickers: ipywidgets bound to the state's traits."""

import ipywidgets as w
from traitlets import link

from lrexplore.dual import ACTIVATIONS
from lrexplore.explorer.layer.state import State
from lrexplore.explorer.real_inputs import INPUTS, YOURS
from lrexplore.explorer.subject import Subject
from lrexplore.init import INITIALIZERS, REAL_INPUTS
from lrexplore.linalg import SCHEMES

WIDE = {"description_width": "initial"}


class Controls:
    """A row of pickers in `box`: initializer, scheme, activation, batch norm, inputs; `title` says which network."""

    def __init__(self, state: State, subject: Subject):
        self._subject = subject
        self.initializer = w.Dropdown(
            options=tuple(INITIALIZERS),
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
        self.inputs = w.Dropdown(
            options=list(INPUTS),
            description="inputs",
            tooltip="What the layer is given: N(0, I), or what real inputs become on their way to it",
            style=WIDE,
            layout={"width": "150px"},
        )
        self._state = state
        self._links = [
            link((state, name), (getattr(self, name), "value"))
            for name in ("scheme", "activation", "batch_norm", "inputs")
        ]
        self._links.append(link((state, "initializer"), (self.initializer, "value")))
        state.observe(lambda change: self._fit(), names=["layer", "inputs", "calibrated"])
        self._fit()
        self.title = w.HTML(f"<b>lrexplore</b>&ensp;{_escape(subject.summary())}")
        pickers = [self.initializer, self.scheme, self.activation, self.batch_norm, self.inputs]
        self.box = w.HBox(pickers, layout={"flex_flow": "row wrap", "align_items": "center", "grid_gap": "0 16px"})

    def _fit(self) -> None:
        """Offer what there is a choice of for this layer and these inputs."""
        choice = self._state.choice
        real = choice.inputs == YOURS
        # Both schemes are one where the kernel is 1 x 1 or there is none; real inputs meet the model's own batch norm.
        self.scheme.disabled = self._subject.layers[choice.layer].kernel_size == (1, 1)
        self.batch_norm.disabled = real
        names = (*INITIALIZERS, *REAL_INPUTS) if real else tuple(INITIALIZERS)
        if self.initializer.options != names:
            # New options reset the picker, which the state is not to follow.
            self._links.pop().unlink()
            self.initializer.options = names
            self._links.append(link((self._state, "initializer"), (self.initializer, "value")))

    def close(self) -> None:
        """Unbind and close the widgets."""
        while self._links:
            self._links.pop().unlink()
        for child in (*self.box.children, self.box, self.title):
            child.close()


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
