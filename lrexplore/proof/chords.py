"""Straight lines above the ReLU gain h(sqrt t)^2 of a neuron, on intervals of t.

The gain f is concave up to its point of inflection and convex after it. On [low, high] its concave envelope is f up to
a point tau and the chord from there to `high`; tau, the tangent point seen from `high`, falls as `high` grows past
the inflection, and is `high` itself before it.
"""

from math import pi

import torch
from jaxtyping import Float64
from torch import Tensor

_NUM_CELLS = 2048
_SMALLEST = 1e-7


def relu_gain(t: Float64[Tensor, "*any"]) -> Float64[Tensor, "*any"]:
    """f(t) = h(sqrt t)^2: the share of a neuron's energy that is kept at squared cosine t."""
    rho = t.sqrt()
    return (((1 - t).sqrt() + rho * (pi - torch.arccos(rho))) / pi) ** 2


def relu_gain_and_slope(t: Float64[Tensor, "*any"]) -> tuple[Float64[Tensor, "*any"], Float64[Tensor, "*any"]]:
    """f(t) and f'(t), t > 0."""
    rho = t.sqrt()
    turned = pi - torch.arccos(rho)
    h = ((1 - t).sqrt() + rho * turned) / pi
    return h**2, h * turned / (pi * rho)


class Chords:
    """A table of tangent points, and the lines it gives."""

    def __init__(self) -> None:
        t = torch.linspace(0.3, 0.5, 20001, dtype=torch.float64)
        # Rounded down by two grid steps: f is concave up to here.
        self._inflection = float(t[relu_gain_and_slope(t)[1].argmin() - 2])
        high = torch.linspace(self._inflection, 1, _NUM_CELLS + 1, dtype=torch.float64)
        low, up = torch.full_like(high, _SMALLEST), torch.full_like(high, self._inflection)
        for _ in range(50):
            middle = (low + up) / 2
            gain, slope = relu_gain_and_slope(middle)
            above = gain + slope * (high - middle) >= relu_gain(high)
            low, up = torch.where(above, middle, low), torch.where(above, up, middle)
        # The upper ends, and below that of the node to the left: never less than the tangent point.
        self._tangent_point = up

    def lines(
        self, low: Float64[Tensor, "*any"], middle: Float64[Tensor, "*any"], high: Float64[Tensor, "*any"]
    ) -> tuple[Float64[Tensor, "*any"], Float64[Tensor, "*any"]]:
        """Offsets a and slopes s with f(t) <= a + s t for all t in [low, high], close to f at `middle`.

        Right of the tangent point, f on [low, high] is below the chord. Otherwise the line is the tangent at a point
        tau in the concave part: f - s t is largest at tau there, and on the convex part at `high` or where it begins.
        """
        cell = (high - self._inflection) * (_NUM_CELLS / (1 - self._inflection))
        tangent_point = self._tangent_point[cell.floor().long().clamp(0, _NUM_CELLS - 1)]
        tangent_point = torch.where(high <= self._inflection, high, tangent_point)
        at_low, at_high = relu_gain(low), relu_gain(high)
        tau = torch.minimum(torch.maximum(middle, low), tangent_point).clamp_min(_SMALLEST)
        at_tau, slope = relu_gain_and_slope(tau)
        offset = torch.maximum(at_tau - slope * tau, at_high - slope * high)
        chord = (at_high - at_low) / (high - low).clamp_min(1e-12)
        is_chord = (low >= tangent_point) & (high - low > 1e-12)
        slope = torch.where(is_chord, chord, slope)
        return torch.where(is_chord, at_low - chord * low, offset), slope
