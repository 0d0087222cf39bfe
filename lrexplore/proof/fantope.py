"""The Fantope {0 <= P <= I, tr P = r}: the convex hull of the projections on r-dimensional subspaces.

Overton & Womersley 1992; a linear function has its maximum over it at a projection, the sum of the r largest
eigenvalues (Ky Fan 1949).
"""

import torch
from jaxtyping import Float
from torch import Tensor


def project(matrix: Float[Tensor, "k k"], rank: int) -> Float[Tensor, "k k"]:
    """The point of the Fantope nearest to a symmetric matrix: its eigenvalues shifted and clipped to [0, 1]."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * _clip(values, rank)) @ vectors.mT


def _clip(values: Tensor, rank: int) -> Tensor:
    """clip(values - shift, 0, 1) with the shift that makes the sum equal `rank`; `values` ascending.

    The sum is piecewise linear and falling in the shift, with its kinks at values and values - 1.
    """
    kinks = torch.cat([values, values - 1]).sort().values
    sums = (values - kinks[:, None]).clamp(0, 1).sum(1)
    right = int((sums >= rank).sum()) - 1
    right = min(max(right, 0), len(kinks) - 2)
    drop = sums[right] - sums[right + 1]
    share = (sums[right] - rank) / drop if drop > 0 else 0.0
    shift = kinks[right] + share * (kinks[right + 1] - kinks[right])
    return (values - shift).clamp(0, 1)


def largest_inner_product(matrix: Float[Tensor, "k k"], rank: int) -> float:
    """An upper bound of max <matrix, P> over the Fantope, above the sum of the `rank` largest eigenvalues by rounding.

    A symmetric eigensolver is backward stable: each eigenvalue is off by at most a small multiple of k eps |matrix|.
    """
    values = torch.linalg.eigvalsh(matrix)
    slack = 8 * len(values) * torch.finfo(values.dtype).eps * float(values.abs().max())
    return float(values[-rank:].sum()) + rank * slack


def projection_on(basis: Float[Tensor, "k r"]) -> Float[Tensor, "k k"]:
    """The projection on the span of the columns of `basis`."""
    q, _ = torch.linalg.qr(basis)
    return q @ q.mT
