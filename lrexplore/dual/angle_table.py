"""A function of rho, one a neuron, tabulated at Chebyshev nodes of the angle arccos rho.

Dual activations are smooth in the angle on [0, pi] also where they have a square-root edge in rho (at 1 and -1),
so some sixty nodes reach rounding level. Of a spread that saturates an activation they turn within an angle of its
inverse: then the nodes are those of log(1 + angle / finest).
"""

from math import log1p, pi

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor

NUM_NODES, NUM_FINE_NODES = 64, 128
_FEW = 2048
# Slopes at rho = 1, which are limits there, are taken at this share of the largest or of the finest angle.
_EDGE = 3e-4, 0.3


def node_rho(like: Tensor, largest_angle: float = pi, finest: float | None = None) -> Float64[Tensor, " nodes"]:
    """The rho at the nodes of [0, largest_angle], on the device of `like`."""
    count = NUM_NODES if finest is None else NUM_FINE_NODES
    k = torch.arange(count, dtype=torch.float64, device=like.device)
    share = (1 + torch.cos((k + 0.5) * (pi / count))) / 2
    if finest is None:
        return torch.cos(share * largest_angle)
    return torch.cos(finest * torch.expm1(share * log1p(largest_angle / finest)))


class AngleTable:
    """Interpolates `values` (a row a neuron, or one for all), taken at `node_rho`, at rho >= cos(largest_angle)."""

    def __init__(
        self, values: Float64[Tensor, "neurons nodes"], largest_angle: float = pi, finest: float | None = None
    ):
        count = values.shape[1]
        k = torch.arange(count, dtype=torch.float64, device=values.device)
        basis = torch.cos(k[:, None] * (k + 0.5) * (pi / count)) * (2 / count)
        basis[0] /= 2
        self._largest_angle, self._finest = largest_angle, finest
        self._coefficients = values @ basis.mT
        self._slopes: Tensor | None = None

    def __call__(self, rho: Float64[Tensor, "neurons *any"]) -> Float64[Tensor, "neurons *any"]:
        """Values at `rho`."""
        angle = torch.arccos(rho.clamp(-1, 1)).clamp_max(self._largest_angle)
        return _series(self._coefficients, self._place(angle))

    def slope(self, rho: Float64[Tensor, "neurons *any"]) -> Float64[Tensor, "neurons *any"]:
        """Derivatives in rho, of a table that ends at pi / 2 or before."""
        if self._slopes is None:
            self._slopes = _differentiated(self._coefficients)
        edge = _EDGE[0] * self._largest_angle if self._finest is None else _EDGE[1] * self._finest
        angle = torch.arccos(rho.clamp(-1, 1)).clamp(edge, self._largest_angle)
        pace = torch.full_like(angle, 2 / self._largest_angle)
        if self._finest is not None:
            pace = 2 / log1p(self._largest_angle / self._finest) / (angle + self._finest)
        return -_series(self._slopes, self._place(angle)) * pace / torch.sin(angle)

    def _place(self, angle: Tensor) -> Tensor:
        """Where an angle is in [-1, 1] of the nodes."""
        if self._finest is None:
            return angle * (2 / self._largest_angle) - 1
        return torch.log1p(angle / self._finest) * (2 / log1p(self._largest_angle / self._finest)) - 1


def _series(coefficients: Tensor, x: Tensor) -> Tensor:
    return _by_cosines(coefficients, x) if x.numel() <= _FEW else _by_recurrence(coefficients, x)


def _by_cosines(coefficients: Tensor, x: Tensor) -> Tensor:
    """sum_j c_j cos(j arccos x): all terms at once, which a power step with its one rho a neuron lives on."""
    k = torch.arange(coefficients.shape[1]).to(x)
    terms = torch.cos(torch.arccos(x.clamp(-1, 1))[..., None] * k)
    if len(coefficients) == 1:
        return terms @ coefficients[0]
    return torch.einsum("i...j,ij->i...", terms, coefficients)


def _by_recurrence(coefficients: Tensor, x: Tensor) -> Tensor:
    """The same by Clenshaw's recurrence, which holds no more than three arrays like `x`."""
    later, last, twice = torch.zeros_like(x), torch.zeros_like(x), 2 * x
    for j in range(coefficients.shape[1] - 1, 0, -1):
        later, last = torch.addcmul(wide(coefficients[:, j], x) - last, twice, later), later
    return x * later - last + wide(coefficients[:, 0], x)


def _differentiated(coefficients: Tensor) -> Tensor:
    """The Chebyshev coefficients of the derivative in x."""
    derivative = torch.zeros_like(coefficients)
    for j in range(coefficients.shape[1] - 1, 0, -1):
        derivative[:, j - 1] = 2 * j * coefficients[:, j]
        if j + 1 < coefficients.shape[1]:
            derivative[:, j - 1] += derivative[:, j + 1]
    derivative[:, 0] /= 2
    return derivative


def wide(vector: Shaped[Tensor, " n"], like: Tensor) -> Shaped[Tensor, "n *ones"]:
    """The vector (neurons,) with trailing dimensions of one, to broadcast against `like` (neurons, ...)."""
    return vector.view((-1,) + (1,) * (like.ndim - 1))
