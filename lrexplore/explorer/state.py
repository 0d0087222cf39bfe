"""What is chosen: traits that a notebook can set, observe and link."""

import traitlets as t

from lrexplore.dual import ACTIVATIONS
from lrexplore.explorer.network import Choice, Network
from lrexplore.init import INITIALIZERS
from lrexplore.linalg import SCHEMES

LAYER = "Layer"


class State(t.HasTraits):
    """`layer`, `rank`, `initializer`, `scheme`, `activation`, `batch_norm`, `tab`; read-only `status` and `progress`.

    Setting `layer` also sets what follows it, as detected, and the rank chosen for it. A value outside its range
    raises TraitError and changes nothing.
    """

    layer = t.Unicode()
    rank = t.Int()
    initializer = t.Enum(tuple(INITIALIZERS), "function")
    scheme = t.Enum(SCHEMES, "channel")
    activation = t.Enum(tuple(ACTIVATIONS), "relu")
    batch_norm = t.Bool(False)
    tab = t.Unicode(LAYER)
    status = t.Unicode(read_only=True)
    progress = t.Float(1.0, read_only=True)

    def __init__(self, network: Network, tabs: tuple[str, ...] = (LAYER,)):
        super().__init__()
        self._network, self._tabs = network, tabs
        self.layer = network.names[0]
        if not self.layer:  # the model is the layer: the empty name is no change
            self._follow_layer({"new": self.layer})

    @property
    def choice(self) -> Choice:
        """The layer, its scheme and what is taken to follow it."""
        return Choice(self.layer, self.scheme, self.activation, self.batch_norm)

    @property
    def max_rank(self) -> int:
        """min(m, n) of the matrix on screen."""
        return min(self._network.layers[self.layer].matrix_shape(self.scheme))

    @t.validate("layer")
    def _check_layer(self, proposal):
        name = proposal["value"]
        if name not in self._network.names:
            from difflib import get_close_matches

            layer = self._network.layers.get(name)
            reason = f" ({layer.skip_reason})" if layer else ""
            near = get_close_matches(name, self._network.names, 3, 0.3) or self._network.names[:3]
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

    @t.observe("layer")
    def _follow_layer(self, change):
        found = self._network.layers[change["new"]].follows
        with self.hold_trait_notifications():
            self.activation = found.activation
            self.batch_norm = found.batch_norm is not None
            self.rank = self._network.rank(change["new"], self.scheme)

    @t.observe("scheme")
    def _follow_scheme(self, change):
        self.rank = self._network.rank(self.layer, change["new"])

    def tell(self, status: str, progress: float) -> None:
        """Set what background work says of itself."""
        # Not held: while a worker holds notifications, another thread's values would go unchecked.
        self.set_trait("status", status)
        self.set_trait("progress", progress)
