"""What is chosen: traits that a notebook can set, observe and link."""

from typing import Any

import traitlets as t

from lrexplore.dual import find_activation
from lrexplore.explorer.layer.heads.head_map import MAPS, STABLE
from lrexplore.explorer.real_inputs import GAUSSIAN, IMPLIED, INPUTS, NOT_IMPLIED, YOURS, real_initializers
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.explorer.work.locked_state import LockedState
from lrexplore.init import INITIALIZERS, REAL_INPUTS
from lrexplore.linalg import SCHEMES
from lrexplore.linalg.tensors import FORMS, MATRIX

LAYER = "Layer"
KNOWN = {YOURS: "calibrated", IMPLIED: "inferred"}
"""Inputs -> the trait that says whether they are known."""
IN_WORDS = {GAUSSIAN: "Gaussian inputs", IMPLIED: "implied inputs", YOURS: "real inputs"}


class State(LockedState):
    """`layer`, `rank`, `initializer`, `scheme`, `form`, `activation`, `batch_norm`, `inputs`, `heads_by`,
    `tab`; read-only `ranks_by_hand`, `calibrated`, `inferred`, `status` and `progress`.

    Setting `layer` also sets what follows it, as detected, and the rank chosen for it. `inputs` "yours" are on screen
    once the read-only `calibrated` is true, those "implied" by batch norms once `inferred` is; until then, and for
    layers of which they are not known, Gaussian ones are. `form` other than "matrix" adds a plot that sets that form
    beside factor pairs, of layers that have it. A value outside its range raises TraitError and changes nothing. A rank
    that is not the one of the rank scale is kept for its layer in `ranks_by_hand`, which is never changed but replaced.
    `layer` may be a product of an attention head (`lr.heads`), for which initializer, scheme and what follows mean
    nothing; `heads_by` is what the map of all heads then shows.
    """

    layer = t.Unicode()
    rank = t.Int()
    initializer = t.Unicode("function")
    scheme = t.Enum(SCHEMES, "channel")
    form = t.Enum(FORMS, MATRIX)
    activation = t.Unicode("relu")
    batch_norm = t.Bool(False)
    tab = t.Unicode(LAYER)
    inputs = t.Enum(INPUTS, GAUSSIAN)
    heads_by = t.Enum(MAPS, STABLE)
    ranks_by_hand = t.Dict(read_only=True)
    calibrated = t.Bool(False, read_only=True)
    inferred = t.Bool(False, read_only=True)
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
        return self._subject.choice(self.layer, self.scheme, self.activation, self.batch_norm, self.inputs, self.form)

    def knows(self, inputs: str) -> bool:
        """Whether these inputs can be on screen, for layers of which they are known."""
        return inputs == GAUSSIAN or getattr(self, KNOWN[inputs])

    def rank_of(self, layer: str, scheme: str | None = None) -> int:
        """The rank chosen for a layer: as set by hand, else by the rank scale; by default in the scheme on screen."""
        scheme = scheme or self.scheme
        most = min(self._subject.layers[layer].matrix_shape(scheme))
        return min(self.ranks_by_hand.get(layer) or self._subject.default_rank(layer, scheme), most)

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
        self._check_layer({"value": self.layer})  # set together with it, the layer may be unchecked
        if not 1 <= rank <= self.max_rank:
            raise t.TraitError(
                f"`rank` must lie in 1..{self.max_rank} for layer {self.layer!r} under {self.scheme!r}, got {rank}. "
                "Choose one in that range."
            )
        return int(rank)  # True is a whole number too

    @t.validate("tab")
    def _check_tab(self, proposal):
        if proposal["value"] not in self._tabs:
            raise t.TraitError(
                f"`tab` must be one of {', '.join(self._tabs)}, got {proposal['value']!r}. Choose one of them."
            )
        return proposal["value"]

    @t.validate("initializer")
    def _check_initializer(self, proposal):
        name, allowed = proposal["value"], (*INITIALIZERS, *REAL_INPUTS)
        inputs = self.choice.inputs
        if name not in allowed:
            raise t.TraitError(f"`initializer` must be one of {', '.join(allowed)}, got {name!r}. Choose one of them.")
        if name != self._fitting(name, inputs):
            offered, way_out = (*INITIALIZERS, *real_initializers(inputs)), IMPLIED if name == "implied" else YOURS
            raise t.TraitError(
                f"`initializer` must be one for {IN_WORDS[inputs]} ({', '.join(offered)}) while these are on screen, "
                f"got {name!r}. Set `explorer.state.inputs = {way_out!r}` first and let `explorer.wait()` return."
            )
        return name

    @t.validate("activation")
    def _check_activation(self, proposal):
        try:
            return find_activation(proposal["value"]).name
        except ValueError as error:
            raise t.TraitError(str(error)) from None

    @t.validate("batch_norm")
    def _check_batch_norm(self, proposal):
        inputs = self.choice.inputs
        if inputs != GAUSSIAN and proposal["value"] != self._has_batch_norm:
            raise t.TraitError(
                f"`batch_norm` must be {self._has_batch_norm} on {IN_WORDS[inputs]}, as in the model, got "
                f"{proposal['value']}. Set `explorer.state.inputs = 'gaussian'` to ask what it would change."
            )
        return proposal["value"]

    @property
    def _has_batch_norm(self) -> bool:
        return self._subject.layers[self.layer].follows.batch_norm is not None

    @t.validate("inputs")
    def _check_inputs(self, proposal):
        if proposal["value"] == IMPLIED and not self._subject.implies_inputs:
            raise t.TraitError(NOT_IMPLIED)
        return proposal["value"]

    @staticmethod
    def _fitting(initializer: str, inputs: str) -> str:
        """The initializer, or for one that is fitted to other inputs the usual one for these."""
        names = real_initializers(inputs)
        return initializer if initializer in (*INITIALIZERS, *names) else (*names, "function")[0]

    @t.observe("inputs", *KNOWN.values())
    def _follow_inputs(self, change):
        inputs = self.choice.inputs
        if inputs != GAUSSIAN:
            self.batch_norm = self._has_batch_norm
        self.initializer = self._fitting(self.initializer, inputs)

    @t.observe("layer")
    def _follow_layer(self, change):
        if self._is_assigning:
            return
        self.initializer = self._fitting(self.initializer, self._subject.inputs(change["new"], self.inputs))
        detected = self._subject.layers[change["new"]].follows
        with self.hold_trait_notifications():
            self.activation = detected.activation
            self.batch_norm = detected.batch_norm is not None
            self.rank = self.rank_of(change["new"])

    @t.observe("scheme")
    def _follow_scheme(self, change):
        if not self._is_assigning:
            self.rank = self.rank_of(self.layer)

    @t.observe("rank")
    def _keep_rank(self, change):
        if self.rank != self.rank_of(self.layer):
            self.set_trait("ranks_by_hand", self.ranks_by_hand | {self.layer: self.rank})

    def assign(self, **values) -> None:
        """Set several traits as one; what follows a `layer` is as detected, and its rank the one chosen for it, if they
        are not given. Raises TraitError, and changes nothing.
        """
        layer, scheme = values.get("layer", self.layer), values.get("scheme", self.scheme)
        if {"layer", "scheme"} & values.keys() and layer in self._subject.names:
            follow: dict[str, Any] = {"rank": self.rank_of(layer, scheme)}
            if "layer" in values:
                detected = self._subject.layers[layer].follows
                follow |= {"activation": detected.activation, "batch_norm": detected.batch_norm is not None}
                inputs = self._subject.inputs(layer, values.get("inputs", self.inputs))
                follow["initializer"] = self._fitting(self.initializer, inputs)
            values = values | {name: value for name, value in follow.items() if name not in values}
        super().assign(**values)

    def tell(self, status: str, progress: float) -> None:
        """Set what background work says of itself."""
        # Not held: while a worker holds notifications, another thread's values would go unchecked.
        self.set_trait("status", status)
        self.set_trait("progress", progress)
