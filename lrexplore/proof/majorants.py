"""Parabolas above the gain of each neuron, as a function of t = rho^2.

What neuron i keeps of the layer's output energy when the row space is S is f_i(t_i), with t_i = rho_i^2 in [0, 1].
f_i is increasing and convex in rho (a dual activation is a power series in rho with coefficients >= 0, and the choice
to switch the neuron off is a maximum), but in t it is concave near 0 and convex near 1. A majorant is a parabola

    a_i + s_i t + b_i t^2 / 2  >=  f_i(t)   for all t in [0, 1].

Any slope s_i and any curvature b_i >= 0 have a smallest offset a_i. It is found on a grid and made safe in between:
on a cell [rho_1, rho_2] convexity puts f below its chord in rho, which lies above its chord in t by at most
slope (rho_2 - rho_1)^2 / (4 (rho_1 + rho_2)), and the parabola dips below its own chord by at most
b (t_2 - t_1)^2 / 8. Both are added at the ends of the cell. Without batch norm, an activation that is not homogeneous
has its best norm elsewhere than at |w|, and convexity is not a theorem: there the running maximum is taken, and
what second differences show of concavity is added too.
"""

from collections.abc import Callable
from math import pi

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from lrexplore.dual import Response
from lrexplore.dual.response import HomogeneousResponse
from lrexplore.dual.scaled_response import ScaledResponse

NUM_CELLS = 1024
# The table of a dual activation that is not in closed form is good to about 1e-7 of the neuron's energy; that of a gain
# whose best norm leaves 0 at some rho, where it bends, to 1e-6.
_TABLE_ERROR, _SEARCH_ERROR = 2e-7, 3e-6


class Majorants:
    """Gains of neurons (shares of the layer's output energy) and the parabolas above them."""

    def __init__(self, response: Response, alive: Bool[Tensor, " all_neurons"]):
        """`alive`: which neurons of the response take part; the others keep what they have."""
        angle = torch.linspace(pi / 2, 0, NUM_CELLS + 1, dtype=torch.float64, device=response.energy.device)
        rho = torch.cos(angle)
        rho[0], rho[-1] = 0.0, 1.0
        total = response.energy.sum()
        nothing = torch.zeros_like(response.energy)
        self._off = ((response.energy - response.loss(nothing, nothing)) / total)[alive]
        self._response, self._alive, self._total = response, alive, total
        gains = response.gain(rho.expand(len(nothing), -1))[alive] / total
        self.energy = response.energy[alive] / total
        gains = torch.maximum(gains, self._off[:, None]).cummax(1).values
        self._gains, self._t, self._angle = gains, rho**2, angle
        self._lifted = gains + _at_ends(gains.diff(dim=1) * rho.diff() / (4 * (rho[1:] + rho[:-1])))
        # Closer than this, second differences are rounding.
        self._blur = 3e-7
        if not isinstance(response, HomogeneousResponse):
            self._blur = 1e-3
            sag = (-gains.diff(n=2, dim=1)).clamp_min(0) / 4
            error = _SEARCH_ERROR if isinstance(response, ScaledResponse) else _TABLE_ERROR
            self._lifted += error * self.energy[:, None] + torch.nn.functional.pad(sag, (1, 1))
        self._dip = _at_ends(self._t.diff() ** 2 / 8)

    def gain(self, t: Float64[Tensor, " neurons"]) -> Float64[Tensor, " neurons"]:
        """f_i(t_i)."""
        return torch.maximum(self._full(self._response.gain, t) / self._total, self._off)

    def slope(self, t: Float64[Tensor, " neurons"]) -> Float64[Tensor, " neurons"]:
        """f_i'(t_i), at t_i kept away from 0 where it is infinite."""
        rho = t.clamp(1e-8, 1).sqrt()
        slope = self._full(self._response.gain_slope, t) / (2 * rho * self._total)
        return torch.where(self.gain(t) > self._off, slope, 0)

    def _full(self, method: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
        """A method of the response at the cosines of the neurons that take part."""
        rho = torch.zeros(len(self._alive), dtype=t.dtype, device=t.device)
        rho[self._alive] = t.clamp(1e-8, 1).sqrt()
        return method(rho)[self._alive]

    def touching_curvature(self, t: Float64[Tensor, " neurons"]) -> Float64[Tensor, " neurons"]:
        """The least curvature b_i >= 0 of a majorant that touches f_i at t_i.

        A hair more than that, so that rounding does not lift the parabola off; 0 where f_i has a tangent above it.
        """
        away = self._t - t[:, None]
        rise = self._gains - self.gain(t)[:, None] - self.slope(t)[:, None] * away
        cells = (torch.arccos(t.clamp(0, 1).sqrt())[:, None] - self._angle).abs() * (2 * NUM_CELLS / pi)
        bend = torch.where((cells > 2) & (away.abs() > self._blur), 2 * rise / away**2, 0)
        return 1.01 * bend.amax(1).clamp_min(0)

    def offset(
        self, slope: Float64[Tensor, " neurons"], curvature: Float64[Tensor, " neurons"]
    ) -> Float64[Tensor, " neurons"]:
        """The least safe a_i of a majorant with these s_i and b_i."""
        return self._excess(slope, curvature).amax(1)

    def _excess(self, slope: Tensor, curvature: Tensor) -> Tensor:
        lifted = self._lifted - slope[:, None] * self._t
        return lifted + curvature[:, None] * (self._dip - self._t**2 / 2)

    def best_slope(
        self,
        t: Float64[Tensor, " neurons"],
        curvature: Float64[Tensor, " neurons"],
        guess: Float64[Tensor, " neurons"] | None = None,
        num_steps: int = 6,
    ) -> Float64[Tensor, " neurons"]:
        """The slopes s_i of the majorants of these curvatures that are lowest at t_i.

        The lowest value is the concave envelope of f_i - b_i t^2 / 2; its slope is that of the edge over t_i, found
        by taking the highest node on either side and turning the line until both stay. Any slope is safe.
        """
        slope = self.slope(t) - curvature * t if guess is None else guess
        left = self._t <= t[:, None].clamp(0, 1 - 1e-12)
        flat = self._excess(torch.zeros_like(slope), curvature)
        for _ in range(num_steps):
            tilted = flat - slope[:, None] * self._t
            low = torch.where(left, tilted, -torch.inf).argmax(1, keepdim=True)
            high = torch.where(left, -torch.inf, tilted).argmax(1, keepdim=True)
            rise = (flat.gather(1, high) - flat.gather(1, low))[:, 0]
            slope, before = rise / (self._t[high] - self._t[low])[:, 0], slope
            if torch.equal(slope, before):
                break
        return slope


def _at_ends(cells: Tensor) -> Tensor:
    """Values on cells (..., cells) carried to the nodes (..., cells + 1): the larger of the two beside a node."""
    edge = cells[..., :1] * 0
    return torch.maximum(torch.cat([cells, edge], -1), torch.cat([edge, cells], -1))
