"""A function of rho, one a neuron, tabulated at Chebyshev nodes of the angle arccos rho.

Dual activations are smooth in the angle on [0, pi] also where they have a square-root edge in rho (at 1 and -1),
so some sixty nodes reach rounding level.
"""

from math import pi

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor

NUM_NODES = 64
_FEW = 2048


def node_rho(like: Tensor, largest_angle: float = pi) -> Float64[Tensor, " nodes"]:
    """The rho at the nodes of [0, largest_angle], on the device of `like`."""
    k = torch.arange(NUM_NODES, dtype=torch.float64, device=like.device)
    return torch.cos((1 + torch.cos((k + 0.5) * (pi / NUM_NODES))) * (largest_angle / 2))


class AngleTable:
    """Interpolates `values` (a row a neuron, or one for all), taken at `node_rho`, at rho >= cos(largest_angle)."""

    def __init__(self, values: Float64[Tensor, "neurons nodes"], largest_angle: float = pi):
        k = torch.arange(NUM_NODES, dtype=torch.float64, device=values.device)
        basis = torch.cos(k[:, None] * (k + 0.5) * (pi / NUM_NODES)) * (2 / NUM_NODES)
        basis[0] /= 2
        self._largest_angle = largest_angle
        self._coefficients = values @ basis.mT

    def __call__(self, rho: Float64[Tensor, "neurons *any"]) -> Float64[Tensor, "neurons *any"]:
        """Values at `rho`."""
        angle = torch.arccos(rho.clamp(-1, 1)).clamp_max(self._largest_angle)
        x = angle * (2 / self._largest_angle) - 1
        return self._by_cosines(x) if x.numel() <= _FEW else self._by_recurrence(x)

    def _by_cosines(self, x: Tensor) -> Tensor:
        """sum_j c_j cos(j arccos x): all terms at once, which a power step with its one rho a neuron lives on."""
        terms = torch.cos(torch.arccos(x.clamp(-1, 1))[..., None] * torch.arange(NUM_NODES).to(x))
        if len(self._coefficients) == 1:
            return terms @ self._coefficients[0]
        return torch.einsum("i...j,ij->i...", terms, self._coefficients)

    def _by_recurrence(self, x: Tensor) -> Tensor:
        """The same by Clenshaw's recurrence, which holds no more than three arrays like `x`."""
        later, last, twice = torch.zeros_like(x), torch.zeros_like(x), 2 * x
        for j in range(NUM_NODES - 1, 0, -1):
            later, last = torch.addcmul(wide(self._coefficients[:, j], x) - last, twice, later), later
        return x * later - last + wide(self._coefficients[:, 0], x)


def wide(vector: Shaped[Tensor, " n"], like: Tensor) -> Shaped[Tensor, "n *ones"]:
    """The vector (neurons,) with trailing dimensions of one, to broadcast against `like` (neurons, ...)."""
    return vector.view((-1,) + (1,) * (like.ndim - 1))
