"""The multiplier of P = P^2 that makes a sum of parabolas concave.

For a projection P and any symmetric Lambda, <Lambda, P - P^2> = 0. So a quadratic sum b_i <A_i, P>^2 / 2, b_i >= 0,
may be replaced by sum b_i <A_i, P>^2 / 2 + <Lambda, P - P^2>. With Lambda diagonal in an orthonormal basis, entries
lambda_x, its second derivative along a symmetric D is

    sum b_i <A_i, D>^2 - sum_xy (lambda_x + lambda_y) D_xy^2.

It is <= 0 for all D with tr D = 0 (two points of the Fantope differ by such a D) exactly when the matrix

    sqrt(b_i b_j) K_ij,   K_ij = <A_i, L^-1 A_j> - d_i d_j / <I, L^-1 I>,   d_i = <I, L^-1 A_i>,
    (L^-1 A)_xy = A_xy / (lambda_x + lambda_y),

has no eigenvalue above 1: write D = L^-1/2 E; then E is orthogonal to L^-1/2 I, and sum b_i <A_i, D>^2 <= |E|^2
says that the projections of sqrt(b_i) L^-1/2 A_i on that complement have a Gram matrix with norm at most 1.
Lambda times c is K over c, so every shape of Lambda has a least admissible scale, the largest eigenvalue.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

_LEVEL_RATIO = 1.5


class Multiplier(NamedTuple):
    """A symmetric positive matrix: orthonormal columns `basis` and `values`."""

    basis: Float64[Tensor, "k k"]
    values: Float64[Tensor, " k"]

    def matrix(self) -> Float64[Tensor, "k k"]:
        """Lambda itself."""
        return (self.basis * self.values) @ self.basis.mT


def eigengap_multiplier(gradient: Float64[Tensor, "k k"], rank: int, crowd: int) -> Multiplier:
    """Lambda with the eigenvectors of `gradient` and the distances of its eigenvalues from the boundary.

    The boundary lies halfway between the `rank`-th eigenvalue and the next. Where this Lambda is admissible, the
    gradient with Lambda still has the same top eigenvectors, and their projection is the best point. The `crowd`
    smallest distances are raised to the next. Values are gathered in levels, so that K costs a few products.
    """
    values, basis = torch.linalg.eigh(gradient)
    distance = (values - (values[-rank] + values[-rank - 1]) / 2).abs()
    least = float(distance.sort().values[min(crowd, len(distance) - 1)])
    distance = distance.clamp_min(max(least, 1e-6 * float(distance.max())) + 1e-300)
    order = distance.argsort()
    ascending = distance[order]
    start, leveled = 0, distance.clone()
    while start < len(distance):
        end = int(torch.searchsorted(ascending, ascending[start] * _LEVEL_RATIO, right=True))
        # The lowest, not the mean: then no direction asks for more than its distance from the boundary.
        leveled[order[start:end]] = ascending[start]
        start = end
    return Multiplier(basis, leveled)


def curvature_kernel(
    multiplier: Multiplier, rows: Float64[Tensor, "m k"], num_rows: int
) -> Float64[Tensor, "m//{num_rows} m//{num_rows}"]:
    """K; A_i is the sum of the outer products of the `num_rows` rows of neuron i."""
    rows = rows @ multiplier.basis
    values = multiplier.values
    levels = values.unique()
    grams = [part @ part.mT for part in (rows[:, values == level] for level in levels)]
    kernel = torch.zeros_like(grams[0])
    for x, gram in enumerate(grams):
        mixed = gram / (2 * levels[x])
        for y in range(x):
            mixed.add_(grams[y], alpha=float(2 / (levels[x] + levels[y])))
        kernel.addcmul_(gram, mixed)
    trace = rows.square() @ (1 / (2 * values))
    if num_rows > 1:
        neurons = len(rows) // num_rows
        kernel = kernel.view(neurons, num_rows, neurons, num_rows).sum((1, 3))
        trace = trace.view(neurons, num_rows).sum(1)
    return kernel.sub_(torch.outer(trace, trace) / (1 / (2 * values)).sum())


def estimate_norm(
    kernel: Float64[Tensor, "neurons neurons"], curvature: Float64[Tensor, " neurons"], num_steps: int = 25
) -> float:
    """The largest eigenvalue of sqrt(b_i b_j) K_ij by power iteration, from below."""
    root = curvature.sqrt()
    vector, top = root + float(root.mean()), 0.0
    for _ in range(num_steps):
        vector = vector / torch.linalg.vector_norm(vector).clamp_min(1e-300)
        vector = root * (kernel @ (root * vector))
        top = float(torch.linalg.vector_norm(vector))
    return top


def bound_norm(kernel: Float64[Tensor, "neurons neurons"], curvature: Float64[Tensor, " neurons"]) -> float:
    """A number above the largest eigenvalue of sqrt(b_i b_j) K_ij, by a per cent or two.

    Proved by a Cholesky factorization of (number) I - the matrix; when that exists in floating point, the exact matrix
    is positive definite up to about neurons^2 eps of its norm (Higham 2002, 10.1), far below the per cent added.
    """
    root = curvature.sqrt()
    if not bool((root > 0).any()):
        return 0.0
    scaled = root[:, None] * kernel * root
    norm = 1.01 * estimate_norm(kernel, curvature)
    identity = torch.eye(len(root), dtype=root.dtype, device=root.device)
    while torch.linalg.cholesky_ex(norm * identity - scaled).info != 0:
        norm = 1.02 * norm + 1e-300
    return 1.005 * norm


def cap_curvature(
    kernel: Float64[Tensor, "neurons neurons"], curvature: Float64[Tensor, " neurons"], norm: float
) -> Float64[Tensor, " neurons"]:
    """min(b_i, c / K_ii) with the largest c for which the largest eigenvalue is about `norm` at most."""
    if estimate_norm(kernel, curvature) <= norm:
        return curvature
    diagonal = kernel.diagonal().clamp_min(1e-300)
    # K is positive semidefinite: c <= norm is necessary, and c >= norm / neurons is enough.
    high = torch.tensor(float((curvature * diagonal).max()), dtype=torch.float64)
    low, high = torch.tensor(norm / len(curvature), dtype=torch.float64).minimum(high).log(), high.log()
    for _ in range(9):
        middle = (low + high) / 2
        if estimate_norm(kernel, torch.minimum(curvature, middle.exp() / diagonal)) > norm:
            high = middle
        else:
            low = middle
    return torch.minimum(curvature, low.exp() / diagonal)
