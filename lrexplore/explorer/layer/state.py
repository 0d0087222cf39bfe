"""What is chosen: traits that a notebook can set, observe and link."""

import traitlets as t

from lrexplore.dual import ACTIVATIONS
from lrexplore.explorer.real_inputs import GAUSSIAN, INPUTS, YOURS
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.init import INITIALIZERS, REAL_INPUTS
from lrexplore.linalg import SCHEMES

LAYER = "Layer"


class State(t.HasTraits):
    """`layer`, `rank`, `initializer`, `scheme`, `activation`, `batch_norm`, `inputs`, `tab`; read-only `calibrated`,
    `status` and `progress`.

    Setting `layer` also sets what follows it, as detected, and the rank chosen for it. `inputs` "yours" are on screen
    once the read-only `calibrated` is true; until then, and for layers that a calibration lacks, Gaussian ones are. A
    value outside its range raises TraitError and changes nothing.
    """

    layer = t.Unicode()
    rank = t.Int()
    initializer = t.Unicode("function")
    scheme = t.Enum(SCHEMES, "channel")
    activation = t.Enum(tuple(ACTIVATIONS), "relu")
    batch_norm = t.Bool(False)
    tab = t.Unicode(LAYER)
    inputs = t.Enum(INPUTS, GAUSSIAN)
    calibrated = t.Bool(False, read_only=True)
    status = t.Unicode(read_only=True)
    progress = t.Float(1.0, read_only=True)

    def __init__(self, subject: Subject, tabs: tuple[str, ...] = (LAYER,)):
        super().__init__()
        self._subject, self._tabs = subject, tabs
        self.layer = subject.names[0]
        if not self.layer:  # the model is the layer: the empty name is no change
            self._follow_layer({"new": self.layer})

    @property
    def choice(self) -> Choice:
        """The layer, its scheme, what is taken to follow it, and the inputs that are on screen."""
        inputs = self._subject.inputs(self.layer, self.inputs)
        return Choice(self.layer, self.scheme, self.activation, self.batch_norm, inputs)

    @property
    def max_rank(self) -> int:
        """min(m, n) of the matrix on screen."""
        return min(self._subject.layers[self.layer].matrix_shape(self.scheme))

    @t.validate("layer")
    def _check_layer(self, proposal):
        name = proposal["value"]
        if name not in self._subject.names:
            from difflib import get_close_matches

            layer = self._subject.layers.get(name)
            reason = f" ({layer.skip_reason})" if layer else ""
            near = get_close_matches(name, self._subject.names, 3, 0.3) or self._subject.names[:3]
            raise t.TraitError(
                f"`layer` must name a layer that can be factorized, got {name!r}{reason}. Near: {', '.join(near)}."
            )
        return name

    @t.validate("rank")
    def _check_rank(self, proposal):
        rank = proposal["value"]
        if not 1 <= rank <= self.max_rank:
            raise t.TraitError(
                f"`rank` must lie in 1..{self.max_rank} for layer {self.layer!r} under {self.scheme!r}, got {rank}. "
                "Choose one in that range."
            )
        return rank

    @t.validate("tab")
    def _check_tab(self, proposal):
        if proposal["value"] not in self._tabs:
            raise t.TraitError(
                f"`tab` must be one of {', '.join(self._tabs)}, got {proposal['value']!r}. Choose one of them."
            )
        return proposal["value"]

    @t.validate("initializer")
    def _check_initializer(self, proposal):
        name, known = proposal["value"], (*INITIALIZERS, *REAL_INPUTS)
        if name not in known:
            raise t.TraitError(f"`initializer` must be one of {', '.join(known)}, got {name!r}. Choose one of them.")
        if name in REAL_INPUTS and self.choice.inputs != YOURS:
            raise t.TraitError(
                f"`initializer` must be one for Gaussian inputs ({', '.join(INITIALIZERS)}) while these are on screen, "
                f"got {name!r}. Set `explorer.state.inputs = 'yours'` first and let `explorer.wait()` return."
            )
        return name

    @t.validate("batch_norm")
    def _check_batch_norm(self, proposal):
        if self.choice.inputs == YOURS and proposal["value"] != self._has_batch_norm:
            raise t.TraitError(
                f"`batch_norm` must be {self._has_batch_norm} on real inputs, as in the model, got "
                f"{proposal['value']}. Set `explorer.state.inputs = 'Gaussian'` to ask what it would change."
            )
        return proposal["value"]

    @property
    def _has_batch_norm(self) -> bool:
        return self._subject.layers[self.layer].follows.batch_norm is not None

    @t.observe("inputs", "calibrated")
    def _follow_inputs(self, change):
        if self.choice.inputs == YOURS:
            self.batch_norm = self._has_batch_norm
        elif self.initializer in REAL_INPUTS:
            self.initializer = "function"

    @t.observe("layer")
    def _follow_layer(self, change):
        if self.initializer in REAL_INPUTS and self._subject.inputs(change["new"], self.inputs) != YOURS:
            self.initializer = "function"
        found = self._subject.layers[change["new"]].follows
        with self.hold_trait_notifications():
            self.activation = found.activation
            self.batch_norm = found.batch_norm is not None
            self.rank = self._subject.rank(change["new"], self.scheme)

    @t.observe("scheme")
    def _follow_scheme(self, change):
        self.rank = self._subject.rank(self.layer, change["new"])

    def tell(self, status: str, progress: float) -> None:
        """Set what background work says of itself."""
        # Not held: while a worker holds notifications, another thread's values would go unchecked.
        self.set_trait("status", status)
        self.set_trait("progress", progress)
