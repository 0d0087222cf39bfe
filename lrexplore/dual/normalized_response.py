"""What neurons lose when batch norm and an activation follow them."""

from functools import cached_property
from math import pi

import torch
from jaxtyping import Float64
from torch import Tensor

from lrexplore.dual import one_sided, piecewise_linear
from lrexplore.dual.activations import Activation
from lrexplore.dual.angle_table import AngleTable, node_rho, wide
from lrexplore.dual.correlation import Expansion, correlate_series, finest_angle

# A table costs as much as so many points a neuron.
_FEW = 32


class NormalizedResponse:
    """Batch norm, then any activation: the norm of the replacement does not matter, unless it is zero."""

    def __init__(
        self,
        norms: Float64[Tensor, " neurons"],
        activation: Activation,
        gamma: Float64[Tensor, " neurons"],
        beta: Float64[Tensor, " neurons"],
    ):
        self._norms, self._activation = norms, activation
        self._alive = norms > 0
        # The sign of gamma mirrors z and changes no expectation: callers pass its magnitude.
        same = bool((gamma == gamma[0]).all() and (beta == beta[0]).all())
        self._gamma, self._beta = (gamma[:1], beta[:1]) if same else (gamma, beta)
        if activation.degree is None:
            self._expansion = Expansion.of(activation, self._gamma, self._beta)
            top, mean = self._expansion.square, self._expansion.series[:, 0]
        else:
            # A scale of zero is the limit of small ones.
            self._gamma = self._gamma.clamp_min(1e-30)
            top = one_sided.gaussian_square(activation, self._gamma, self._beta)
            mean = one_sided.gaussian_mean(activation, self._gamma, self._beta)
        self._top, self._mean = top.expand_as(norms), mean.expand_as(norms)
        self._rest = activation.function(beta)
        self.energy = torch.where(self._alive, self._top, self._rest**2)

    def _dual(self, rho: Tensor) -> Tensor:
        """E s s' at rho (neurons or 1, points)."""
        if self._activation.degree is None:
            return correlate_series(self._activation, rho, self._expansion, self._expansion)
        gamma, beta = self._gamma[:, None], self._beta[:, None]
        return piecewise_linear.correlation(self._activation, rho, gamma, gamma, beta)[0]

    @cached_property
    def _table(self) -> AngleTable:
        """E s s' for rho in [0, 1]."""
        return self._tabulate(1)

    @cached_property
    def _mirrored(self) -> AngleTable:
        """The same for -rho."""
        return self._tabulate(-1)

    def _tabulate(self, sign: int) -> AngleTable:
        finest = finest_angle(self._activation, float(self._gamma.max()))
        rho = node_rho(self._gamma, pi / 2, finest)
        return AngleTable(self._dual(sign * rho.expand(len(self._gamma), -1)), pi / 2, finest)

    def _value(self, rho: Tensor) -> Tensor:
        if rho[0].numel() <= _FEW and "_table" not in self.__dict__:
            return self._dual(rho.reshape(len(rho), -1)).view_as(rho)
        value = self._table(rho)
        return torch.where(rho < 0, self._mirrored(-rho), value) if bool((rho < 0).any()) else value

    def loss(self, rho: Tensor, product: Tensor) -> Tensor:
        top, rest, mean = (wide(x, rho) for x in (self._top, self._rest, self._mean))
        to_rest = (top - 2 * rest * mean + rest**2).clamp_min(0)
        lost = 2 * (top - self._value(rho)).clamp_min(0)
        alive, kept = wide(self._alive, rho), product > 0
        one_dead = torch.where(alive ^ kept, to_rest, 0)
        return torch.where(alive & kept, lost, one_dead)

    def best_norm(self, rho: Tensor) -> Tensor:
        return wide(self._norms, rho).expand_as(rho)

    def gain(self, rho: Tensor) -> Tensor:
        gain = 2 * self._table(rho) - wide(self._top, rho)
        return torch.where(wide(self._alive, rho), gain, wide(self.energy, rho))

    def gain_slope(self, rho: Tensor) -> Tensor:
        return torch.where(wide(self._alive, rho), 2 * self._table.slope(rho).clamp_min(0), 0)
