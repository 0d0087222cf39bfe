"""What neurons lose when an activation that is not homogeneous follows them, without batch norm."""

from math import pi

import torch
from torch import Tensor

from lrexplore.dual import hermite
from lrexplore.dual.activations import Activation
from lrexplore.dual.angle_table import AngleTable, node_rho, wide

_NUM_SCALES = 64
_CHUNK = 256


class ScaleTable:
    """Hermite coefficients of s(scale z) for scales in [0, largest], interpolated at Chebyshev nodes."""

    def __init__(self, activation: Activation, largest: float, like: Tensor):
        self._half = max(largest, 1e-30) / 2
        k = torch.arange(_NUM_SCALES, dtype=torch.float64, device=like.device)
        angle = (k + 0.5) * (pi / _NUM_SCALES)
        series, square = hermite.coefficients(activation, self._half * (1 + torch.cos(angle)), 0 * k)
        basis = torch.cos(k[:, None] * angle) * (2 / _NUM_SCALES)
        basis[0] /= 2
        self._series, self._square, self._k = basis @ series, basis @ square, k

    def __call__(self, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients (..., terms), E s^2 (...), and the part of E s^2 past the last term, at `scale` (...)."""
        angle = torch.arccos((scale / self._half - 1).clamp(-1, 1))
        basis = torch.cos(angle[..., None] * self._k)
        series, square = basis @ self._series, basis @ self._square
        return series, square, (square - series.square().sum(-1)).clamp_min(0)


class ScaledResponse:
    """An activation that is not homogeneous, no batch norm: the best norm is found on a grid.

    The grid has 96 norms up to 1.2 |w|; a parabola through the three best points refines it.
    """

    _REACH = 1.2

    def __init__(self, norms: Tensor, activation: Activation):
        self._norms, self._activation = norms, activation
        self._table = ScaleTable(activation, float(norms.max()) * self._REACH, norms)
        self._own, self.energy, self._rest = self._table(norms)
        rho = node_rho(norms, pi / 2)
        best = torch.cat([self._search(rho, rows) for rows in torch.arange(len(norms)).split(_CHUNK)])
        value, slope = self._cross(rho.expand(len(norms), -1), best)
        self._best, self._gain, self._slope = (AngleTable(values, pi / 2) for values in (best, value, slope))

    def _search(self, rho: Tensor, rows: Tensor) -> Tensor:
        """Best norm of the replacement at each rho, (rows, points)."""
        norms, own, rest = self._norms[rows], self._own[rows], self._rest[rows]
        grid = norms[:, None] * torch.linspace(0, self._REACH, 96, dtype=torch.float64, device=norms.device)
        other, square, other_rest = self._table(grid)
        powers = rho[:, None] ** torch.arange(own.shape[1], device=norms.device)
        cross = (own[:, None] * powers) @ other.mT
        cross = cross + (rest[:, None] * other_rest).sqrt()[:, None] * (rho ** own.shape[1])[:, None]
        objective = 2 * cross - square[:, None]
        at = objective.argmax(2, keepdim=True).clamp(1, grid.shape[1] - 2)
        low, middle, high = (objective.gather(2, at + k)[..., 0] for k in (-1, 0, 1))
        bend = (2 * middle - low - high).clamp_min(1e-300)
        move = ((high - low) / (2 * bend)).clamp(-1, 1)
        return (grid.gather(1, at[..., 0]) + move * grid[:, 1:2]).clamp_min(0)

    def _cross(self, rho: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
        """2 E s(w.x) s(y.x) - E s(y.x)^2 and its derivative in rho; `rho`, `product` (neurons, points)."""
        value, slope = torch.empty_like(rho), torch.empty_like(rho)
        for point in range(rho.shape[1]):
            other, square, rest = self._table(product[:, point])
            shared = (self._rest * rest).sqrt()
            cross, bend = hermite.series(rho[:, point : point + 1], self._own, other, shared)
            value[:, point], slope[:, point] = 2 * cross[:, 0] - square, 2 * bend[:, 0]
        return value, slope

    def loss(self, rho: Tensor, product: Tensor) -> Tensor:
        if float(product.max()) > self._REACH * float(self._norms.max()):
            wider = ScaledResponse.__new__(ScaledResponse)
            wider._table = ScaleTable(self._activation, float(product.max()), product)
            wider._own, _, wider._rest = wider._table(self._norms)
            cross = wider._cross
        else:
            cross = self._cross
        flat = rho.reshape(len(rho), -1)
        value, _ = cross(flat, product.expand_as(rho).reshape(flat.shape))
        return (wide(self.energy, rho) - value.view_as(rho)).clamp_min(0)

    def best_norm(self, rho: Tensor) -> Tensor:
        return self._best(rho).clamp_min(0)

    def gain(self, rho: Tensor) -> Tensor:
        return self._gain(rho)

    def gain_slope(self, rho: Tensor) -> Tensor:
        return self._slope(rho).clamp_min(0)
