"""What is chosen for the whole network: traits that a notebook can set, observe and link."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import index

import traitlets as t

from lrexplore.calibration import implies_inputs
from lrexplore.explorer.real_inputs import GAUSSIAN, IMPLIED, INPUTS, NOT_IMPLIED, YOURS, real_initializers
from lrexplore.explorer.samples import NUMS_JUDGED
from lrexplore.explorer.subject import Subject
from lrexplore.explorer.work.locked_state import LockedState
from lrexplore.init import INITIALIZERS, REAL_INPUTS
from lrexplore.linalg import SCHEMES
from lrexplore.ranks import METHODS, PLAIN, SENSITIVITY, WEIGHTS

BUDGETS = {"parameter_ratio": "parameters", "flop_ratio": "multiply-adds", "latency_ratio": "latency"}


def initializers_for(inputs: str) -> tuple[str, ...]:
    """The initializers that a whole network can be factorized by on these inputs, the default first."""
    own = [name for name, record in INITIALIZERS.items() if not (record.is_ours or record.slow)]
    names = ("function", "rescaled", "spectral", *own)
    in_sequence = [name for name, record in REAL_INPUTS.items() if record.in_sequence]
    return {YOURS: (*real_initializers(), *in_sequence, *names), IMPLIED: ("implied", *names)}.get(inputs, names)


CHOICES = ("budget", "ratio", "method", "inputs", "initializer", "scheme", "weights")


@dataclass(frozen=True)
class Wish:
    """What a plan is made for: a value of all of `NetworkState`'s choices. `pins` are sorted (layer, rank) pairs."""

    budget: str = "parameter_ratio"
    ratio: float = 0.5
    method: str = "optimal"
    inputs: str = GAUSSIAN
    initializer: str = "function"
    scheme: str = "channel"
    weights: str = PLAIN
    pins: tuple[tuple[str, int | None], ...] = ()

    @property
    def curves(self) -> tuple[str, str, str]:
        """What the curves depend on."""
        return self.inputs, self.initializer, self.scheme


class Pinned(dict):
    """Layer -> rank, never changed: whoever holds it has what was checked."""

    def _refuse(self, *arguments, **more):
        raise TypeError("`pinned` must be replaced as a whole, got a change inside it. Use `state.pin(layer, rank)`.")

    __setitem__ = __delitem__ = __ior__ = update = pop = popitem = clear = setdefault = _refuse


class NetworkState(LockedState):
    """`budget` (what is limited), `ratio`, `method`, `inputs`, `initializer`, `scheme`, `weights`, `pinned`, `layer`
    and `num_judged`, the number of sample inputs that agreement is measured on.

    `pinned` maps layers to a rank, or to None for "as it is". A choice that no plan meets raises TraitError, which
    says the smallest ratio that can be reached, and changes nothing. `pinned` is never changed but replaced. `layer` is
    the one the pin controls are about. `own_inputs`: a trained network comes with inputs of the person's own.
    """

    budget = t.Enum(tuple(BUDGETS), "parameter_ratio")
    ratio = t.Float(0.5)
    method = t.Enum(METHODS, "optimal")
    inputs = t.Enum(INPUTS, GAUSSIAN)
    initializer = t.Unicode("function")
    scheme = t.Enum((*SCHEMES, "best"), "channel")
    weights = t.Enum(WEIGHTS, PLAIN)
    pinned = t.Dict()
    layer = t.Unicode()
    num_judged = t.Enum(NUMS_JUDGED, NUMS_JUDGED[0])

    def __init__(self, subject: Subject, check: Callable[[Wish], None], *, own_inputs: bool = False):
        super().__init__()
        self._subject, self._check = subject, check
        self.implies_inputs = implies_inputs(subject.model)
        self.layer, self.pinned = subject.whole_network[0], {}
        # What a trained network says counts: never weights of layers that ignore it, nor inputs that it never had.
        inputs = YOURS if own_inputs else IMPLIED if self.implies_inputs else GAUSSIAN
        if inputs != GAUSSIAN:
            self.assign(inputs=inputs, initializer=initializers_for(inputs)[0], weights=SENSITIVITY)

    @property
    def wish(self) -> Wish:
        """All choices as one value; of one moment under the lock."""
        return Wish(*(getattr(self, name) for name in CHOICES), pins=_pins(self.pinned))

    @t.validate("budget", "ratio", "method", "scheme", "weights")
    def _check_choice(self, proposal):
        if proposal["trait"].name == "ratio" and not 0 <= proposal["value"] <= 1:
            raise t.TraitError(f"`ratio` must lie in [0, 1], got {proposal['value']}. Choose one in that range.")
        self._try(replace(self.wish, **{proposal["trait"].name: proposal["value"]}))
        return proposal["value"]

    @t.validate("pinned")
    def _check_pinned(self, proposal):
        pinned = {name: self._rank(name, rank) for name, rank in proposal["value"].items()}
        self._try(replace(self.wish, pins=_pins(pinned)))
        return Pinned(pinned)

    @t.validate("initializer")
    def _check_initializer(self, proposal):
        allowed = initializers_for(self.inputs)
        if proposal["value"] not in allowed:
            raise t.TraitError(
                f"`initializer` must be one of {', '.join(allowed)} for {self.inputs}, got {proposal['value']!r}. "
                "Choose one of them."
            )
        self._try(replace(self.wish, initializer=proposal["value"]))
        return proposal["value"]

    @t.validate("layer")
    def _check_layer(self, proposal):
        if proposal["value"] not in self._subject.whole_network:
            raise t.TraitError(
                f"`layer` must name a layer that can be factorized, got {proposal['value']!r}. "
                f"Choose from {', '.join(self._subject.whole_network[:3])}, …"
            )
        return proposal["value"]

    @t.validate("inputs")
    def _check_inputs(self, proposal):
        if proposal["value"] == IMPLIED and not self.implies_inputs:
            raise t.TraitError(NOT_IMPLIED)
        return proposal["value"]

    @t.observe("inputs")
    def _follow_inputs(self, change):
        if not self._is_assigning:
            self.initializer = initializers_for(self.inputs)[0]

    def pin(self, layer: str, rank: int | None) -> None:
        """Hold a layer at a rank, or as it is (None); the others are balanced anew."""
        with self.lock:
            self.pinned = {**self.pinned, layer: rank}

    def unpin(self, layer: str | None = None) -> None:
        """Let a layer, or all of them, be chosen again."""
        with self.lock:
            self.pinned = {} if layer is None else {name: rank for name, rank in self.pinned.items() if name != layer}

    def take(self, wish: Wish) -> None:
        """Choose all that a wish says, as one. Raises TraitError, and changes nothing, where it cannot be had."""
        values = {name: getattr(wish, name) for name in CHOICES}
        self.assign(**values, pinned=dict(wish.pins))

    def _rank(self, name, rank) -> int | None:
        """A rank to pin a layer at, as a whole number."""
        if name not in self._subject.whole_network:
            raise t.TraitError(
                f"`pinned` must name layers that can be factorized, got {name!r}. "
                f"Choose from {', '.join(self._subject.whole_network[:3])}, …"
            )
        try:
            return None if rank is None else int(index(rank))  # True is a whole number too
        except TypeError:
            raise t.TraitError(
                f"`pinned` must hold whole numbers or None for as it is, got {rank!r} for {name!r}. Give its rank."
            ) from None

    def _try(self, wish: Wish) -> None:
        for name, rank in wish.pins:
            full = self._subject.full_rank(name, wish.scheme)
            if rank is not None and not 1 <= rank <= full:
                raise t.TraitError(
                    f"`pinned` must hold ranks in 1..{full} for {name!r} under {wish.scheme!r}, got {rank}. "
                    "Choose one in that range, or None for as it is."
                )
        try:
            self._check(wish)
        except ValueError as error:
            raise t.TraitError(str(error)) from None


def _pins(pinned: Mapping[str, int | None]) -> tuple[tuple[str, int | None], ...]:
    return tuple(sorted(pinned.items()))
