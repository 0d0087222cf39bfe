"""E s(a z + c) s(b z' + c) for s that is piecewise linear, or quadratic, through one smooth integral over an angle.

Around c, s is a polynomial plus one-sided powers (see `one_sided`). Of two such terms in z and z', of powers d and e,
the (1 + max(d, e))-th derivative in rho = corr(z, z') is, by Price's theorem (1958), a bivariate normal density or a
derivative of it. That many integrations from rho = 0, with rho = cos(psi), leave one integral of a smooth function over
psi. Where two breaks are near each other in units of the spread it turns fast at small psi: the nodes are spread
evenly in asinh(psi / distance).
"""

from dataclasses import replace
from functools import lru_cache
from math import pi

import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from lrexplore.dual.activations import Activation
from lrexplore.dual.one_sided import Side

_NUM_NODES = 32
# The pairs of a chunk stay in a processor's cache.
_CHUNK = 1 << 14
# At larger spreads the energies of quadratic pieces (a^4) would drown those of s (a^2) in rounding; there the second
# derivative is as well a sum of so many kinks a piece.
_LARGE, _NUM_KINKS = 30.0, 8


def correlation(activation: Activation, rho: Tensor, a: Tensor, b: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """E s(a z + shift) s(b z' + shift) and its derivative in rho; float64, broadcast, -1 <= rho <= 1, a, b > 0."""
    outside = (activation.pieces[0], activation.pieces[-1])
    if activation.degree == 1 or any(piece[2] for piece in outside):
        return _in_chunks(activation, activation, rho, a, b, shift)
    large = [x > _LARGE for x in (a, b)]
    if not any(bool(x.any()) for x in large):
        return _in_chunks(activation, activation, rho, a, b, shift)
    rho, a, b, shift, *large = (x.contiguous() for x in torch.broadcast_tensors(rho, a, b, shift, *large))
    value, slope = torch.empty_like(rho), torch.empty_like(rho)
    forms = (activation, _flattened(activation))
    for first in (False, True):
        for second in (False, True):
            rows = (large[0] == first) & (large[1] == second)
            parts = (x[rows] for x in (rho, a, b, shift))
            value[rows], slope[rows] = _in_chunks(forms[first], forms[second], *parts)
    return value, slope


@lru_cache(maxsize=64)
def _flattened(activation: Activation) -> Activation:
    """The activation with its quadratic pieces made of kinks, at the nodes of a Gauss rule for s''."""
    nodes, weights = leggauss(_NUM_KINKS)
    kinks = [(at, slope) for at, (_, slope, _) in zip(activation.breaks, activation.jumps, strict=True) if slope]
    spans = zip(activation.breaks, activation.breaks[1:], activation.pieces[1:], strict=False)
    for low, high, (_, _, bend) in spans:
        if bend:
            half = (high - low) / 2
            kinks += [(low + half * (1 + x), 2 * bend * half * w) for x, w in zip(nodes, weights, strict=True)]
    kinks = sorted((float(at), float(jump)) for at, jump in kinks)
    constant, slope, _ = activation.pieces[0]

    def function(u: Tensor) -> Tensor:
        return slope * u + constant + sum(jump * (u - at).clamp_min(0) for at, jump in kinks)

    return replace(activation, function=function, breaks=tuple(at for at, _ in kinks), degree=1)


def _in_chunks(
    form: Activation, other: Activation, rho: Tensor, a: Tensor, b: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    shape = torch.broadcast_shapes(*(x.shape for x in (rho, a, b, shift)))
    if not shape or shape.numel() <= _CHUNK:
        return _correlation(form, other, rho, a, b, shift)
    rows = max(1, _CHUNK // max(1, shape[1:].numel()))
    # Only what varies with the first dimension is cut: the rest stays as small as it came.
    whole = (rho, a, b, shift)
    parts = [x.split(rows) if x.ndim == len(shape) and len(x) > 1 else None for x in whole]
    count = max(len(part) for part in parts if part is not None)
    chunks = [
        _correlation(form, other, *(x if part is None else part[i] for x, part in zip(whole, parts, strict=True)))
        for i in range(count)
    ]
    return torch.cat([value for value, _ in chunks]), torch.cat([slope for _, slope in chunks])


def _correlation(
    form: Activation, other_form: Activation, rho: Tensor, a: Tensor, b: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    first, second = Side(form, a, shift), Side(other_form, b, shift)
    value, slope = 0.0 * rho, 0.0 * rho
    power, before = torch.ones_like(rho), 0.0 * rho  # rho^i / i! and its derivative
    for order in range(max(form.degree or 0, other_form.degree or 0) + 1):
        (whole, low), (other, other_low) = first.derivatives(order), second.derivatives(order)
        # Pairs of powers that are both below the order have ended before it: the integral has the rest of them.
        term = whole * other - low * other_low
        value, slope = value + term * power, slope + term * before
        power, before = power * rho / (order + 1), power
    if not form.breaks:
        return value, slope
    mirror = torch.where(rho < 0, -1.0, 1.0).to(rho)
    places = range(len(first.at)), range(len(second.at))
    pairs = [_Pair(first, second, p, q, mirror) for p in places[0] for q in places[1]]
    near = torch.ones_like(rho)
    for pair in pairs:
        near = torch.where(pair.distance > pair.least, torch.minimum(near, pair.distance), near)
    least = torch.arccos(rho.abs().clamp_max(1))
    low = torch.asinh(least / near)
    half = (torch.asinh((pi / 2) / near) - low) / 2
    for node, share in zip(*leggauss(_NUM_NODES), strict=True):
        grown = torch.exp(low + half * (1 + node))
        psi = (near / 2) * (grown - 1 / grown)
        sin, cos = torch.sin(psi), mirror * torch.cos(psi)
        away, mass = rho - cos, (grown + 1 / grown) * (near * half * mirror * (share / (4 * pi)))
        falls, turns = -0.5 / sin**2, -mirror / (1 + mirror * cos)
        sums: dict[int, Tensor] = {}
        for pair in pairs:
            density = (pair.square * falls).addcmul_(pair.product, turns).exp_()
            for d, weighed in pair.terms(cos, falls).items():
                sums[d] = sums[d].addcmul_(density, weighed) if d in sums else density * weighed
        for d, part in sums.items():
            part.mul_(mass)
            if d == 0:
                value += part
            elif d == 1:
                slope += part
                value.addcmul_(part, away)
            else:
                part.mul_(away)
                slope += part
                value.addcmul_(part, away, value=0.5)
    sin = torch.sin(least).clamp_min(1e-12)
    for pair in pairs:
        if (0, 0) in pair.weights:  # a jump with a jump: the density itself
            density = torch.exp(-0.5 * pair.square / sin**2 - pair.product * mirror / (1 + torch.cos(least)))
            slope = slope + pair.weights[0, 0] * density / (2 * pi * sin)
    return value, slope


class _Pair:
    """Break p of one side with break q of the other: the density of both, and what its derivatives are weighed with."""

    def __init__(self, first: Side, second: Side, p: int, q: int, mirror: Tensor):
        self._x, self._y = first.at[p], second.at[q]
        self.distance = (self._x - mirror * self._y).abs()
        # Of a break with itself, at spreads that are equal but for rounding, the nodes need not know.
        self.least = 1e-7 if p == q else 0.0
        self.square, self.product = self.distance**2, self._x * self._y
        self._sign, self._other = first.sign[p], second.sign[q]
        both = self._sign * self._other
        self.weights = {
            (d, e): weight * other * both ** (max(d, e) + 1)
            for d, weight in first.weights[p].items()
            for e, other in second.weights[q].items()
        }

    def terms(self, cos: Tensor, falls: Tensor) -> dict[int, Tensor]:
        """Power of (rho - cos) -> what the density at correlation `cos` is weighed with; `falls` = -1 / (2 sin^2)."""
        weights: dict[int, Tensor] = {}
        for (d, e), weight in self.weights.items():
            if d != e:
                x, y, sign = (self._x, self._y, self._sign) if d < e else (self._y, self._x, self._other)
                turned = (x - cos * y) * (-2 * falls)
                weight = weight * (sign * turned if abs(d - e) == 1 else turned**2 + 2 * falls)
            weights[max(d, e)] = weights[max(d, e)] + weight if max(d, e) in weights else weight
        return weights
