"""The most that the ReLU gain can be on a cone of lines around a center.

For a unit vector q and neuron i of length l_i (its row, as a share of its norm), x_i = u_i.q is the signed cosine and
the gain is g(x_i), g(x) = h(|x|)^2, even, with g'' increasing on [0, 1] and a kink at 0. Let u_i point to the side of
the center c. On the cone of angle phi x_i lies in [low, high] = l_i cos(a_i +- phi), and g has a parabola above it:

    g(x) <= g(z) + g'(z) (x - z) + e (x - z)^2 / 2,   z in [0, high].

On [0, high] it is enough that e is what makes them equal at `high`: twice the remainder over the squared distance is
a mean of g'' between z and x, which increases with x. Where low < 0, let e be also large enough at `low`; if the
slope of the parabola there is -1/pi at least, then parabola minus g increases on [low, 0] (g'(0) = 1/pi), and that is
enough. Otherwise the parabola a + s x^2 of `Chords` is above g; at a kink in the middle both are the same.

What remains is an A + B.q + q^T C q / 2. For any y >= 0 and mu above the eigenvalues of C, since |q| = 1 and
c.q >= cos(phi), it is at most A + (B + y c)^T (mu - C)^-1 (B + y c) / 2 + mu / 2 - y cos(phi), convex in mu and y.

The error of the parabolas is of third order in phi but for the few neurons nearly orthogonal to the center.
"""

from math import pi

import torch
from jaxtyping import Float64
from torch import Tensor

from lrexplore.proof.chords import Chords

# Closer than this, a remainder of second order would be rounding.
_CLOSEST = 1e-5
_NUM_STEPS = 18
# Numbers (cells times neurons) at a time: so many stay in the cache of a core.
_CHUNK = 32768


class Cones:
    """Neurons with rows `unit` (neurons, k) of length at most 1 and energies `shares` (neurons,)."""

    def __init__(self, unit: Float64[Tensor, "neurons k"], shares: Float64[Tensor, " neurons"], chords: Chords):
        self._unit, self._shares, self._chords = unit, shares, chords
        self._length = torch.linalg.vector_norm(unit, dim=1)
        self._products = torch.cat([unit, (unit[:, :, None] * unit[:, None, :]).flatten(1)], 1)

    def bound(self, center: Float64[Tensor, "cells k"], angle: Float64[Tensor, " cells"]) -> Float64[Tensor, " cells"]:
        """A number that F exceeds on no line within `angle` of `center`, a cell."""
        k = center.shape[1]
        size = max(1, _CHUNK // len(self._unit))
        parts = [self._sums(*part) for part in zip(center.split(size), angle.split(size), strict=True)]
        constant, linear, quadratic = (torch.cat(x) for x in zip(*parts, strict=True))
        return constant + largest_on_cone(linear, quadratic.view(-1, k, k), center, torch.cos(angle))

    def _sums(self, center: Tensor, angle: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A (cells,), B (cells, k) and C (cells, k k) of the module's docstring."""
        signed = center @ self._unit.mT
        constant, linear, bend = self._parabolas(signed.abs(), angle[:, None] + 1e-7)
        k = center.shape[1]
        linear, bend = linear * signed.sign() * self._shares, bend * self._shares
        return constant @ self._shares, linear @ self._products[:, :k], bend @ self._products[:, k:]

    def _parabolas(self, x: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """a, b, e (cells, neurons) with g(x') <= a + b x' + e x'^2 / 2 wherever x may be in the cells."""
        length = self._length
        x = torch.minimum(x, length)
        side = (length**2 - x**2).clamp_min(0).sqrt()
        cosine, sine = torch.cos(turn), torch.sin(turn)
        low = x * cosine - side * sine
        high = torch.where(x >= length * cosine, length, x * cosine + side * sine).clamp(2 * _CLOSEST, 1)
        z = torch.minimum(x, high - torch.maximum((high - low) / 4, low.new_tensor(_CLOSEST))).clamp_min(0)
        gain, slope = _gain_and_slope(z)
        away = high - z
        bend = 2 * (_gain(high) - gain - slope * away) / away**2
        over = low < 0
        if bool(over.any()):
            back = (low - z)[over]
            here = 2 * (_gain(-low[over]) - gain[over] - slope[over] * back) / back**2
            bend[over] = torch.maximum(bend[over], here)
        linear, constant = slope - bend * z, gain - slope * z + bend * z**2 / 2
        flat = over & (linear + bend * low < -1 / pi)
        if bool(flat.any()):
            top = high[flat]
            middle = torch.maximum(x[flat], top / 2).square()
            offset, line = self._chords.lines(torch.zeros_like(top), middle, top.square())
            constant[flat], linear[flat], bend[flat] = offset, 0.0, 2 * line
        return constant, linear, bend


def largest_on_cone(
    linear: Float64[Tensor, "cells k"],
    quadratic: Float64[Tensor, "cells k k"],
    center: Float64[Tensor, "cells k"],
    cosine: Float64[Tensor, " cells"],
) -> Float64[Tensor, " cells"]:
    """The largest of B.q + q^T C q / 2 over unit vectors with c.q >= `cosine`, from above, batched; C >= 0."""
    values, vectors = torch.linalg.eigh(quadratic)
    b, c = ((vectors.mT @ x[:, :, None])[:, :, 0] for x in (linear, center))
    scale = values[:, -1].clamp_min(0) + torch.linalg.vector_norm(linear, dim=1) + 1e-300
    low, high = scale.log() - 14.0, scale.log() + 5.0
    best = torch.full_like(scale, torch.inf)
    for _ in range(_NUM_STEPS):
        middle = (low + high) / 2
        mu = values[:, -1] + middle.exp()
        inverse = 1 / (mu[:, None] - values)
        along, across = (inverse * c * b).sum(1), (inverse * c**2).sum(1)
        y = ((cosine - along) / across).clamp_min(0)
        pulled = b + y[:, None] * c
        value = (inverse * pulled**2).sum(1) / 2 + mu / 2 - y * cosine
        best = torch.minimum(best, value)
        falling = (inverse * pulled).square().sum(1) > 1
        low, high = torch.where(falling, middle, low), torch.where(falling, high, middle)
    return best + 1e-8 * scale


def _gain(x: Tensor) -> Tensor:
    """g(x), x in [0, 1]."""
    return (((1 - x**2).sqrt() + x * (pi - torch.arccos(x))) / pi) ** 2


def _gain_and_slope(x: Tensor) -> tuple[Tensor, Tensor]:
    """g(x) and g'(x), x in [0, 1]."""
    turned = pi - torch.arccos(x)
    h = ((1 - x**2).sqrt() + x * turned) / pi
    return h**2, 2 * h * turned / pi
