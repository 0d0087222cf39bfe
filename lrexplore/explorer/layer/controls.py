"""The pickers: ipywidgets bound to the state's traits."""

from collections.abc import Callable

import ipywidgets as w

from lrexplore.dual import ACTIVATIONS
from lrexplore.explorer.layer.heads.head_map import MAPS
from lrexplore.explorer.layer.state import KNOWN, State
from lrexplore.explorer.layer.words import summary
from lrexplore.explorer.pickers import ROW, Bound, box, button, escape, input_options, inputs_picker, picker
from lrexplore.explorer.real_inputs import GAUSSIAN, real_initializers
from lrexplore.explorer.samples import SAMPLE_PHOTOGRAPHS
from lrexplore.explorer.subject import Subject
from lrexplore.init import INITIALIZERS
from lrexplore.linalg import SCHEMES
from lrexplore.linalg.tensors import FORMS
from lrexplore.network.attention.head_layers import is_head

BOUND = ("initializer", "scheme", "form", "activation", "batch_norm", "inputs", "heads_by")


class Controls:
    """A row of pickers in `box`: initializer, scheme, form, activation, batch norm, inputs, map of heads; `title` says
    which network.

    `resume()` is called by the button that goes on with what was cancelled. What a choice raises goes to `on_error`.
    """

    def __init__(
        self,
        state: State,
        subject: Subject,
        resume: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ):
        self._state, self._subject = state, subject
        self.initializer = picker(
            "initializer", INITIALIZERS, "How the factors are made; plots and readouts follow", 200, 160
        )
        schemes = "channel: k x k convolution to r channels, then 1 x 1; spatial: 1 x k, then k x 1"
        self.scheme = picker("scheme", SCHEMES, schemes, 165, 145)
        forms = "Set beside factor pairs (matrix): tucker, two ranks; tt, three; cp, one; for kernels beyond 1 x 1"
        self.form = picker("form", FORMS, forms, 140, 120)
        self.activation = picker(
            "followed by", self._activations(),
            "The activation taken to follow the layer; set by what was detected when you change the layer", 200, 150,
        )  # fmt: skip
        self.batch_norm = box("batch norm first", "Whether batch norm is taken to come before the activation", 150, 128)
        self.inputs = inputs_picker(
            "What the layer is given: N(0, I), what the network's batch norms imply, or what real inputs become on "
            "their way to it",
            (subject.real.source or subject.real.origin.source) if subject.real else SAMPLE_PHOTOGRAPHS,
            150,
            implied=subject.implies_inputs,
        )
        self.resume = button("go on", "Go on with the curves that were cancelled", "play")
        self.resume.on_click(lambda _: resume())
        self.offer_resume(False)
        self.heads_by = picker("map of heads", MAPS, "What the map of all attention heads shows", 260, 200)
        controls = {name: getattr(self, name) for name in BOUND}
        self._bound = Bound(state, controls, on_error)
        state.observe(self._fit, names=["layer", "inputs", *KNOWN.values(), "initializer", "activation"])
        self._fit()
        self.title = w.HTML(f"<b>lrexplore</b>&ensp;{escape(summary(subject))}")
        self.box = w.HBox([*controls.values(), self.resume], layout=ROW)

    def offer_resume(self, offered: bool) -> None:
        """Show or hide the button that goes on."""
        self.resume.layout.display = None if offered else "none"

    def offer_inputs(self, source: str) -> None:
        """Say what "yours" are from now on."""
        self._bound.offer("inputs", input_options(source, implied=self._subject.implies_inputs))

    def close(self) -> None:
        """Unbind and close the widgets."""
        self._bound.close()
        for child in (*self.box.children, self.box, self.title):
            child.close()

    def _activations(self) -> tuple[str, ...]:
        """Those there are now, and with their parameters those that follow the layers and the one that is chosen."""
        followers = [layer.follows.activation for layer in self._subject.layers.values()]
        return tuple(dict.fromkeys((*ACTIVATIONS, *followers, self._state.activation)))

    def _fit(self, change=None) -> None:
        """Offer what there is a choice of for this layer and these inputs."""
        choice = self._state.choice
        # Both schemes are one where the kernel is 1 x 1 or there is none; real inputs meet the model's own batch norm.
        layer = self._subject.layers[choice.layer]
        self.form.disabled = all(self._subject.form(choice.layer, form) == FORMS[0] for form in FORMS[1:])
        self.scheme.disabled = layer.kernel_size == (1, 1)
        self.batch_norm.disabled = choice.inputs != GAUSSIAN or is_head(layer)
        # A head's factors are the best there are, whatever follows.
        self.initializer.disabled = self.activation.disabled = is_head(layer)
        self.heads_by.layout.display = None if is_head(layer) else "none"
        self._bound.offer("activation", self._activations())
        names = (*INITIALIZERS, *real_initializers(choice.inputs))
        if self._state.initializer in names:
            self._bound.offer("initializer", names)
