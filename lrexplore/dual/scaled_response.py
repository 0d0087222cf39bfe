"""What neurons lose when an activation that is not homogeneous follows them, without batch norm."""

from functools import cached_property
from math import ceil, log, log1p, log2, pi

import torch
from jaxtyping import Float64
from torch import Tensor

from lrexplore.dual import one_sided, piecewise_linear
from lrexplore.dual.activations import Activation
from lrexplore.dual.angle_table import AngleTable, node_rho, wide
from lrexplore.dual.correlation import MOST, Expansion, check_reach, correlate_series, finest_angle
from lrexplore.dual.panels import is_monotone, width_of

_NUM_SCALES = 64
_CHUNK = 4096
# The norm of a replacement is searched up to so many times that of the neuron.
_REACH = 1.2
# Where no norm matters, as of a saturated activation, the neuron's own is as good as any: the search is for the gain
# less this share of the energy times the square of the distance from it, or it would jump from norm to norm.
_FLAT = 1e-6


class ExactPairs:
    """E s s' of pairs of spreads, for an activation that is a polynomial between its breaks."""

    def __init__(self, activation: Activation, largest: float, like: Tensor):
        self._activation, self._none = activation, torch.zeros((), dtype=torch.float64, device=like.device)

    def square(self, scale: Tensor) -> Tensor:
        """E s(scale z)^2."""
        return one_sided.gaussian_square(self._activation, scale.clamp_min(1e-30), self._none)

    def cross(self, scale: Tensor, other: Tensor, rho: Tensor) -> Tensor:
        """E s(scale z) s(other z'), `scale` (neurons,), `other` and `rho` (neurons, points)."""
        scale, other = (x.clamp_min(1e-30) for x in (scale[:, None], other))
        return piecewise_linear.correlation(self._activation, rho, scale, other, self._none)[0]


class SeriesPairs:
    """The same for a curved activation: Hermite series, interpolated at Chebyshev nodes of the spread.

    The nodes are those of [0, largest], or of log(1 + spread / width) where spreads are many times the width on which
    the activation bends. Coefficients are kept over the power of (width + spread) with which they grow.
    """

    def __init__(self, activation: Activation, largest: float, like: Tensor):
        self._activation, self._largest, self._width = activation, max(largest, 1e-30), width_of(activation)
        wide_range = self._largest > 10 * self._width
        self._pace = log1p(self._largest / self._width) if wide_range else 0.0
        count = _NUM_SCALES + ceil(16 * self._pace)
        self._k = torch.arange(count, dtype=torch.float64, device=like.device)
        angle = (self._k + 0.5) * (pi / count)
        share = (1 + torch.cos(angle)) / 2
        scale = self._width * torch.expm1(share * self._pace) if wide_range else share * self._largest
        expansion = Expansion.of(activation, scale, 0 * scale)
        # Terms that are small at every spread cost time and change nothing: their squares count.
        size = expansion.series.abs().amax(0)
        num_terms = 1 + int((size >= 1e-7 * size.max()).nonzero().max())
        expansion = expansion._replace(series=expansion.series[:, :num_terms])
        basis = torch.cos(self._k[:, None] * angle) * (2 / count)
        basis[0] /= 2
        # As many digits for large spreads as for small ones, of a bounded activation and of one that grows.
        self._power = 0.0
        if wide_range:
            ends = scale.new_tensor([self._width, self._largest])
            low, high = Expansion.of(activation, ends, 0 * ends).square.tolist()
            self._power = log(high / low) / 2 / log(self._largest / self._width) if low > 0 and high > 0 else 0.0
        grown = (self._width + scale) ** self._power
        self._series, self._square = basis @ (expansion.series / grown[:, None]), basis @ (expansion.square / grown**2)

    def expand(self, scale: Tensor) -> Expansion:
        """The expansions at spreads (neurons,)."""
        basis = self._basis(scale)
        series, square = basis @ self._series, basis @ self._square
        missing = (square - series.square().sum(1)).clamp_min(0)
        if self._power:
            grown = (self._width + scale) ** self._power
            series, square, missing = series * grown[:, None], square * grown**2, missing * grown**2
        return Expansion(scale, 0 * scale, series, square, missing)

    def _basis(self, scale: Tensor) -> Tensor:
        """What the coefficients at the nodes are weighed with, (neurons, nodes)."""
        if self._pace:
            place = torch.log1p(scale / self._width) * (2 / self._pace) - 1
        else:
            place = scale * (2 / self._largest) - 1
        return torch.cos(torch.arccos(place.clamp(-1, 1))[:, None] * self._k)

    def square(self, scale: Tensor) -> Tensor:
        """E s(scale z)^2."""
        parts = [self._basis(part) @ self._square for part in scale.flatten().split(_CHUNK)]
        return torch.cat(parts).view_as(scale) * (self._width + scale) ** (2 * self._power)

    def cross(self, scale: Tensor, other: Tensor, rho: Tensor) -> Tensor:
        """E s(scale z) s(other z'), `scale` (neurons,), `other` and `rho` (neurons, points)."""
        own = self.expand(scale)
        rows = torch.arange(len(scale), device=scale.device)[:, None].expand_as(rho).flatten()
        parts = zip(rows.split(_CHUNK), other.flatten().split(_CHUNK), rho.flatten().split(_CHUNK), strict=True)
        values = [
            correlate_series(self._activation, at[:, None], Expansion(*(x[row] for x in own)), self.expand(beside))
            for row, beside, at in parts
        ]
        return torch.cat(values).view_as(rho)


class ScaledResponse:
    """An activation that is not homogeneous, no batch norm: the best norm is searched.

    Norms and gains are found for some norms between the least and the largest, and interpolated.
    """

    def __init__(self, norms: Float64[Tensor, " neurons"], activation: Activation):
        self._norms, self._activation, self._width = norms, activation, width_of(activation)
        self._alive = norms > 0
        self._largest = float(norms.max()) * _REACH
        self._pairs = self._make_pairs(self._largest)
        self._rest = float(activation.function(torch.zeros(1, dtype=torch.float64)))
        self.energy = torch.where(self._alive, self._pairs.square(norms), self._rest**2).clamp_min(0)

    def _make_pairs(self, largest: float) -> "ExactPairs | SeriesPairs":
        kind = SeriesPairs if self._activation.degree is None else ExactPairs
        return kind(self._activation, largest, self._norms)

    def loss(self, rho: Tensor, product: Tensor) -> Tensor:
        pairs, largest = self._pairs, float(product.max())
        if largest > self._largest:
            check_reach(self._activation, "factors", largest, most=MOST)
        if largest > self._largest and self._activation.degree is None:
            pairs = self._make_pairs(largest)
        at, other = rho.reshape(len(rho), -1), product.expand_as(rho).reshape(len(rho), -1)
        value = 2 * pairs.cross(self._norms, other, at) - pairs.square(other)
        lost = (wide(self.energy, rho) - value.view_as(rho)).clamp_min(0)
        return torch.where(wide(self._alive, rho) | (product > 0), lost, 0)

    def best_norm(self, rho: Tensor) -> Tensor:
        own = wide(self._norms, rho)
        return torch.where(rho > 1 - 1e-12, own, self._norm_at(self._tables[0](rho).clamp(0, 1), own))

    def _norm_at(self, place: Tensor, own: Tensor) -> Tensor:
        """The norm at a place in [0, 1] of what is searched: even in log(1 + norm / width), up to `_REACH` the own."""
        return self._width * torch.expm1(place * torch.log1p(_REACH * own / self._width))

    def gain(self, rho: Tensor) -> Tensor:
        kept = torch.where(wide(self._alive, rho), self._tables[1](rho), 1)
        return wide(self.energy, rho) * kept

    def gain_slope(self, rho: Tensor) -> Tensor:
        slope = torch.where(wide(self._alive, rho), self._tables[1].slope(rho), 0)
        return wide(self.energy, rho) * slope.clamp_min(0)

    @cached_property
    def _tables(self) -> tuple[AngleTable, AngleTable]:
        """The place of the best norm, and the gain there over the energy, of every neuron."""
        finest = finest_angle(self._activation, self._largest)
        rho = node_rho(self._norms, pi / 2, finest)
        nodes, basis = self._norm_nodes()
        pairs = [self._search(part, rho) for part in nodes.split(max(1, _CHUNK // len(rho)))]
        places, kept = (torch.cat([pair[i] for pair in pairs]) for i in (0, 1))
        return AngleTable(basis @ places, pi / 2, finest), AngleTable(basis @ kept, pi / 2, finest)

    def _norm_nodes(self) -> tuple[Tensor, Tensor]:
        """Norms (nodes,) between the least and the largest, and what to weigh values there with (neurons, nodes)."""
        alive = self._norms[self._alive]
        if not len(alive):
            return self._norms.new_ones(1), self._norms.new_ones(len(self._norms), 1)
        low, high = float(alive.min()), float(alive.max())
        count = 6 + ceil(6 * log2(high / low))
        if len(alive) <= count:
            return alive, torch.eye(len(self._norms), dtype=alive.dtype, device=alive.device)[:, self._alive]
        k = torch.arange(count, dtype=torch.float64, device=alive.device)
        angle = (k + 0.5) * (pi / count)
        middle, half = (log(low) + log(high)) / 2, max((log(high) - log(low)) / 2, 1e-12)
        place = ((torch.log(self._norms.clamp_min(low)) - middle) / half).clamp(-1, 1)
        inverse = torch.cos(k[:, None] * angle) * (2 / count)
        inverse[0] /= 2
        return torch.exp(middle + half * torch.cos(angle)), torch.cos(torch.arccos(place)[:, None] * k) @ inverse

    def _search(self, norms: Tensor, rho: Tensor) -> tuple[Tensor, Tensor]:
        """The place of the best norm, and the most gained over the energy, at each rho, both (neurons, points).

        The norm is that of a replacement at cosine rho. Where the activation falls somewhere one at cosine -rho might
        gain more; that counts for the gain, which is to be the most that a subspace can keep.
        """
        energy = self._pairs.square(norms)[:, None]
        place, top = self._climb(norms, energy, rho)
        if not is_monotone(self._activation):
            top = torch.maximum(top, self._climb(norms, energy, -rho)[1])
        return place, torch.where(energy > 0, top / energy, 1).clamp_max(1)

    def _climb(self, norms: Tensor, energy: Tensor, rho: Tensor) -> tuple[Tensor, Tensor]:
        """The place of the best norm, and the gain there, at each rho, both (neurons, points).

        A coarse grid, a fine one around its best, then a parabola through the three best points.
        """
        size, own = len(norms), norms[:, None, None]
        reach = torch.log1p(_REACH * own / self._width)
        home = torch.log1p(own / self._width) / reach

        def kept(places: Tensor) -> Tensor:
            """Gain, but for what `_FLAT` says, at places (neurons, points, choices)."""
            other = self._norm_at(places, own)
            at = rho[:, None].expand_as(places)
            cross = self._pairs.cross(norms, other.reshape(size, -1), at.reshape(size, -1)).view_as(places)
            square = self._pairs.square(other.flatten()).view_as(places)
            return 2 * cross - square - _FLAT * energy[..., None] * (places - home) ** 2

        count = 17 + ceil(8 * float(reach.max()))
        grid = torch.linspace(0, 1, count, dtype=torch.float64, device=norms.device)
        coarse = grid[kept(grid.expand(size, len(rho), -1)).argmax(2)]
        step = float(grid[1]) / 4
        around = (coarse - 4 * step).clamp(0, 1 - 8 * step)[..., None] + step * torch.arange(9, device=norms.device)
        value = kept(around)
        at = value.argmax(2, keepdim=True).clamp(1, 7)
        low, middle, high = (value.gather(2, at + k)[..., 0] for k in (-1, 0, 1))
        bend = (2 * middle - low - high).clamp_min(1e-300)
        best = around.gather(2, at)[..., 0] + ((high - low) / (2 * bend)).clamp(-1, 1) * step
        # The own norm itself too: where s jumps, the gain has an edge there that no parabola meets.
        choices = torch.stack([best.clamp(0, 1), coarse, home[..., 0].expand_as(best)], 2)
        value, chosen = kept(choices).max(2)
        place = choices.gather(2, chosen[..., None])[..., 0]
        return place, value + _FLAT * energy * (place - home[..., 0]) ** 2
