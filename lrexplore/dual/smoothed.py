"""E s(a z + c) s(b z' + c) where z and z' are nearly one: a rule over the mean of one given the other.

Given z', a z + c is normal about m = c + a rho z' with deviation sigma = a sqrt(1 - rho^2). With
S(m, sigma) = E s(m + sigma u), u standard normal, the expectation is that of S(m, sigma) s(y(m)) over m, a normal too.
S depends on s alone: it is kept on fixed m, at Gauss nodes between the places where s bends, for every sigma. It
is right at any spread, where a series in rho would need as many terms as the square of the spread.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import ceil, log, pi, sqrt

import torch
from jaxtyping import Float64
from torch import Tensor

from lrexplore.dual.activations import FARTHEST, Activation
from lrexplore.dual.panels import gauss, panels_of, width_of

_NUM_NODES = 16
_CHUNK = 128
# Nodes for every factor e of sigma: at 8, exp(-sigma^2) is interpolated to 3e-8.
_PER_LOG = 8
# Deviations that count.
_REACH = 8.5
# How much of its width an activation may be smoothed by before that is seen, and how short the intervals around a
# break become, by a factor each: of a smooth one, one with kinks, one with jumps.
_LEAST = {"smooth": 2e-4, "kinks": 2e-6, "jumps": 1e-8}


def near(
    activation: Activation,
    rho: Float64[Tensor, " points"],
    a: Float64[Tensor, " points"],
    b: Float64[Tensor, " points"],
    shift: Float64[Tensor, " points"],
) -> Float64[Tensor, " points"]:
    """E s(a z + shift) s(b z' + shift); |rho| above some .5, a, b > 0."""
    a, b = torch.maximum(a, b), torch.minimum(a, b)
    farthest = float((_REACH * a + shift.abs()).max())
    table = _table(activation, 4.0 ** ceil(log(max(farthest, 1.0), 4)), str(rho.device))
    parts = zip(*(x.split(_CHUNK) for x in (rho, a, b, shift)), strict=True)
    return torch.cat([table(*part) for part in parts])


class _Smoothed:
    """S at the Gauss nodes of fixed intervals, as a Chebyshev series in log sigma."""

    def __init__(self, activation: Activation, reach: float, device: str):
        self._function, self._breaks, self._width = activation.function, activation.breaks, width_of(activation)
        finest = _LEAST[_worst(activation)]
        shrinking = {at + side for at in activation.breaks for step in _steps(finest) for side in (-step, step)}
        edges = torch.tensor(sorted(_edges(activation, reach) | shrinking), dtype=torch.float64, device=device)
        self._edges = edges
        self._m, self._weight = gauss(edges, _NUM_NODES)
        low, high = log(finest * self._width), log(reach / _REACH)
        count = 16 + ceil(_PER_LOG * (high - low))
        self._low, self._half = low, (high - low) / 2
        self._k = torch.arange(count, dtype=torch.float64, device=device)
        angle = (self._k + 0.5) * (pi / count)
        bends = torch.tensor(sorted(_edges(activation, 2 * reach)), dtype=torch.float64, device=device)
        sigmas = torch.exp(low + self._half * (1 + torch.cos(angle)))
        values = torch.stack([self._smooth(sigma, bends) for sigma in sigmas])
        basis = torch.cos(self._k[:, None] * angle) * (2 / count)
        basis[0] /= 2
        self._series = basis @ values
        # from values at the nodes of an interval to its Legendre coefficients
        node, weight = gauss(torch.tensor([-1.0, 1.0], dtype=torch.float64, device=device), _NUM_NODES)
        degrees = torch.arange(_NUM_NODES, device=device)
        self._to_legendre = _legendre(node) * weight[:, None] * (2 * degrees + 1) / 2

    def _smooth(self, sigma: Tensor, bends: Tensor) -> Tensor:
        """S at all nodes for one sigma: a rule that is cut where s bends."""
        base = torch.linspace(-_REACH, _REACH, 8, dtype=torch.float64, device=self._m.device)
        cuts = ((bends - self._m[:, None]) / sigma).clamp(-_REACH, _REACH)
        cuts = torch.cat([cuts, base.expand(len(cuts), -1)], 1).sort(1).values
        row, at = ((cuts[:, 1:] - cuts[:, :-1]) > 1e-12).nonzero(as_tuple=True)
        u, weight = gauss(torch.stack([cuts[row, at], cuts[row, at + 1]], 1), 10)
        value = self._function(self._m[row, None] + sigma * u)
        part = (value * weight * torch.exp(-(u**2) / 2)).sum(1) / sqrt(2 * pi)
        return torch.zeros_like(self._m).index_add_(0, row, part)

    def __call__(self, rho: Tensor, a: Tensor, b: Tensor, shift: Tensor) -> Tensor:
        sigma = a * (1 - rho**2).clamp_min(0).sqrt()
        x = (torch.log(sigma.clamp_min(1e-300)) - self._low) / self._half - 1
        smooth = torch.cos(torch.arccos(x.clamp(-1, 1))[:, None] * self._k) @ self._series
        spread, ratio = a * rho.abs(), b / (a * rho)
        inner = self._bends(rho, ratio, shift)
        m, weight = self._m, self._weight
        if inner is not None:
            m, weight, smooth = self._recut(smooth, inner)
        density = torch.exp(-(((m - shift[:, None]) / spread[:, None]) ** 2) / 2) / (sqrt(2 * pi) * spread[:, None])
        other = self._function(shift[:, None] + ratio[:, None] * (m - shift[:, None]))
        return (weight * density * smooth * other).sum(1)

    def _bends(self, rho: Tensor, ratio: Tensor, shift: Tensor) -> Tensor | None:
        """Where the other factor bends and the intervals do not, (points, places); None where it matters to none."""
        places: list[float] = [at for at in self._breaks if at or bool(shift.any())]
        if bool(((rho < 0) & (shift.abs() > 2 * self._width)).any()):
            places = [at for at in self._edges.tolist() if abs(at) < 40]
        if not places:
            return None
        bends = torch.tensor(places, dtype=torch.float64, device=rho.device)
        return shift[:, None] + (bends - shift[:, None]) / ratio[:, None]

    def _recut(self, smooth: Tensor, inner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Nodes, weights and S, each (points, nodes), of the intervals cut at `inner` too."""
        edges = self._edges
        cuts = torch.cat([edges.expand(len(inner), -1), inner.clamp(edges[0], edges[-1])], 1).sort(1).values
        m, weight = gauss(cuts, _NUM_NODES)
        middle = ((cuts[:, 1:] + cuts[:, :-1]) / 2).contiguous()
        home = (torch.searchsorted(edges, middle) - 1).clamp(0, len(edges) - 2)
        half = (edges[1:] - edges[:-1])[home] / 2
        local = (m.view(*home.shape, -1) - (edges[:-1][home] + half)[..., None]) / half[..., None]
        series = smooth.view(len(smooth), -1, _NUM_NODES) @ self._to_legendre
        series = series.gather(1, home[..., None].expand(-1, -1, _NUM_NODES))
        return m, weight, (_legendre(local.clamp(-1, 1)) @ series[..., None])[..., 0].flatten(1)


def _legendre(x: Tensor) -> Tensor:
    """Legendre polynomials below degree 16 at x (...), (..., degrees)."""
    polynomials = [torch.ones_like(x), x]
    for k in range(2, _NUM_NODES):
        polynomials.append(((2 * k - 1) * x * polynomials[-1] - (k - 1) * polynomials[-2]) / k)
    return torch.stack(polynomials, -1)


def _edges(activation: Activation, reach: float) -> set[float]:
    """Edges of the intervals up to `reach` on which s is smooth."""
    edges, far = {at for at in panels_of(activation).edges if abs(at) < reach}, reach
    while far > FARTHEST / 2:
        edges |= {-far, far}
        far /= 2
    return edges | {-reach, reach}


def _steps(finest: float) -> Iterator[float]:
    """Distances from a break at which the intervals around it end."""
    while finest < 0.5:
        yield finest
        finest *= 2.5


def _worst(activation: Activation) -> str:
    """What is the worst of the activation: it is "smooth", has "kinks" (in s or s') or "jumps"."""
    breaks = torch.tensor(activation.breaks, dtype=torch.float64)
    step = 1e-10 * breaks.abs().clamp_min(1)
    jumps = (activation.function(breaks + step) - activation.function(breaks - step)).abs() > 1e-8
    return "jumps" if bool(jumps.any()) else "kinks" if activation.breaks else "smooth"


@lru_cache(maxsize=32)
def _table(activation: Activation, reach: float, device: str) -> _Smoothed:
    return _Smoothed(activation, reach, device)
