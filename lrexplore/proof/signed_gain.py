"""Parabolas above the gain of a neuron on a line, without and with the sign of its cosine.

On a line with unit vector v a neuron u has the cosine c = u.v, t = c^2, and keeps g(|c|) of its energy: the line has
both directions. Without batch norm, of ReLU, leaky ReLU and the identity g(x) = k(x)^2, k the dual activation over
its value at 1, is a power series in x with coefficients >= 0 and g(1) = 1. Of a + b c + d c^2 >= g(|c|) there are

1. for c in [-1, 1], b = 0: lines in t. f(t) = g(sqrt t) is concave, then convex (t^(3/2) times its second derivative
   increases), so the tangent at tau is above f wherever it is at t = 1, up to the last such tau.
2. for c in [low, high], low >= 0: the parabola that touches g at z and equals it at `high`. Twice the remainder at z
   over the squared distance is a mean of the second derivative between z and x; it increases with x, as the third is
   >= 0, and is the parabola's at x = high.

With p and t the means of v and of (u.v)^2 over any distribution of v, the least of the second kind is that with
z = (high u.p - t) / (high - u.p); where all v are the same, z = c, and nothing is lost.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lrexplore.dual.activations import homogeneous_correlation, homogeneous_correlation_slope

_SMALLEST = 1e-4
# Nearer to the end of the interval, a remainder of second order would be rounding.
_CLOSEST = 1e-3


class SignedGain:
    """The gain g of an activation max(u, 0) + leak min(u, 0), and its majorants."""

    def __init__(self, leak: float):
        self._leak = leak
        low, high = torch.tensor([_SMALLEST, 1 - _CLOSEST], dtype=torch.float64)
        for _ in range(50):
            middle = (low + high) / 2
            gain, slope = self.gain_and_slope(middle)
            above = gain + slope * (1 - middle**2) / (2 * middle) >= 1
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        self._last_tangent = float(low)

    def gain_and_slope(self, x: Float64[Tensor, "*any"]) -> tuple[Float64[Tensor, "*any"], Float64[Tensor, "*any"]]:
        """g(x) and g'(x), x in [0, 1]."""
        correlation = homogeneous_correlation(x, self._leak)
        return correlation**2, 2 * correlation * homogeneous_correlation_slope(x, self._leak)

    def majorants(
        self,
        c: Float64[Tensor, "*any"],
        t: Float64[Tensor, "*any"],
        low: Float[Tensor, "*any"],
        high: Float[Tensor, "*any"],
    ) -> tuple[Float64[Tensor, "*any"], Float64[Tensor, "*any"], Float64[Tensor, "*any"]]:
        """a, b, d with a + b x + d x^2 >= g(|x|) for x in [low, high], close at the means `c` and `t`.

        `low` is -1 and `high` 1 where the sign is not known; elsewhere 0 <= low <= high - 2e-3.
        """
        is_signed = low >= 0
        z = (high * c - t) / (high - c).clamp_min(_CLOSEST)
        z = torch.minimum(torch.maximum(z, low), high - ((high - low) / 4).clamp_min(_CLOSEST))
        x = torch.where(is_signed, z, t.clamp_min(0).sqrt().clamp(_SMALLEST, self._last_tangent))
        gain, slope = self.gain_and_slope(x)
        end, _ = self.gain_and_slope(high)
        bend = (end - gain - slope * (high - x)) / (high - x) ** 2
        d = torch.where(is_signed, bend, slope / (2 * x))
        b = torch.where(is_signed, slope - 2 * bend * x, 0)
        # A line in t must be above f at 1 also by the last digit.
        a = torch.where(is_signed, gain - slope * x + bend * x**2, torch.maximum(gain - d * x**2, 1 - d))
        return a, b, d
