"""What neurons lose when batch norm and an activation follow them."""

import torch
from torch import Tensor

from lrexplore.dual import hermite, piecewise_linear
from lrexplore.dual.activations import Activation
from lrexplore.dual.angle_table import AngleTable, node_rho, wide


class NormalizedResponse:
    """Batch norm, then any activation: the norm of the replacement does not matter, unless it is zero."""

    def __init__(self, norms: Tensor, activation: Activation, gamma: Tensor, beta: Tensor):
        self._norms = norms
        self._alive = norms > 0
        # The sign of gamma mirrors z and changes no expectation: callers pass its magnitude.
        same = bool((gamma == gamma[0]).all() and (beta == beta[0]).all())
        few_gamma, few_beta = (gamma[:1], beta[:1]) if same else (gamma, beta)
        values, slopes, top, mean = _dual_table(activation, few_gamma, few_beta)
        self._value, self._slope = AngleTable(values), AngleTable(slopes)
        self._top, self._mean = top.expand_as(norms), mean.expand_as(norms)
        self._rest = activation.function(beta)
        self.energy = torch.where(self._alive, self._top, self._rest**2)

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
        gain = 2 * self._value(rho) - wide(self._top, rho)
        return torch.where(wide(self._alive, rho), gain, wide(self.energy, rho))

    def gain_slope(self, rho: Tensor) -> Tensor:
        return torch.where(wide(self._alive, rho), 2 * self._slope(rho), 0)


def _dual_table(activation: Activation, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """k and k' at the angle nodes (neurons, nodes), k(1) and E s (neurons,), for s(gamma z + beta)."""
    rho = node_rho(gamma).expand(len(gamma), -1)
    if activation.kinks is not None:
        scale, shift = gamma.clamp_min(1e-30)[:, None], beta[:, None]
        value, slope = piecewise_linear.correlation(activation, rho, scale, scale, shift)
        top, _ = piecewise_linear.correlation(activation, torch.ones_like(scale), scale, scale, shift)
        return value, slope, top[:, 0], piecewise_linear.gaussian_mean(activation, scale, shift)[:, 0]
    series, top = hermite.coefficients(activation, gamma, beta)
    rest = (top - series.square().sum(1)).clamp_min(0)
    value, slope = hermite.series(rho, series, series, rest)
    return value, slope, top, series[:, 0]
