"""Norms of rows and of products, and the Frobenius error of a factor pair."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lrexplore.linalg.factors import Factors, upcast
from lrexplore.linalg.finite import check_finite
from lrexplore.linalg.matricization import matricize, rows_per_neuron, scheme_of
from lrexplore.linalg.spectrum import quick_singular_values

# Squares of entries below this may leave the range of float64.
_SMALLEST = 1e-140


class RowComparison(NamedTuple):
    """Norms, a neuron, of the weight, of its approximation and of their difference, and the cosine `rho` between
    the two (0 where either is zero)."""

    weight: Float64[Tensor, " neurons"]
    product: Float64[Tensor, " neurons"]
    difference: Float64[Tensor, " neurons"]
    rho: Float64[Tensor, " neurons"]


def neuron_norms(matrix: Float[Tensor, "m n"], rows: int = 1) -> Float64[Tensor, " m//{rows}"]:
    """Norm of every neuron; a neuron is `rows` consecutive rows of the matrix (m, n)."""
    norms = torch.linalg.vector_norm(matrix, dim=1, dtype=torch.float64)
    norms = norms if rows == 1 else torch.linalg.vector_norm(norms.view(-1, rows), dim=1)
    if bool((norms < _SMALLEST).any()):
        # Squares may have left the range of float64 (or the neuron is zero).
        neurons = matrix.reshape(len(norms), -1)
        peak = neurons.abs().amax(1).double()
        norms = torch.linalg.vector_norm(neurons.double() / torch.where(peak > 0, peak, 1)[:, None], dim=1) * peak
    return norms


def compare_rows(matrix: Float[Tensor, "m n"], factors: Factors, rows: int = 1) -> RowComparison:
    """Every neuron of `matrix` (m, n) beside that of the factors' product.

    The cosine comes from the difference of the two unit vectors: 1 - rho keeps its digits where rho is near 1.
    """
    matrix = upcast(matrix)
    product = _product(factors.to(matrix.device, matrix.dtype))
    weight_norms, product_norms = neuron_norms(matrix, rows), neuron_norms(product, rows)
    turned = neuron_norms(_unit(matrix, weight_norms, rows) - _unit(product, product_norms, rows), rows)
    rho = torch.where((weight_norms > 0) & (product_norms > 0), (1 - turned**2 / 2).clamp(-1, 1), 0)
    return RowComparison(weight_norms, product_norms, neuron_norms(matrix - product, rows), rho)


def _product(factors: Factors) -> Tensor:
    """The factors' product; a matrix product may take denormal numbers for zeros, so rows of these are brought up."""
    peak = factors.left.abs().amax(1, keepdim=True)
    if not bool(((peak > 0) & (peak < 1e-30)).any()):
        return factors.product()
    level = torch.where(peak > 0, peak, 1).double()
    return (factors.left.double() / level) @ factors.right.double() * level


def _unit(matrix: Tensor, norms: Tensor, rows: int) -> Tensor:
    if bool(((norms > 0) & (norms < 1e-30)).any()):
        # The inverse of such a norm may be infinite, in float32 or at all.
        return matrix.double() / torch.where(norms > 0, norms, 1).repeat_interleave(rows)[:, None]
    inverse = torch.where(norms > 0, 1 / norms, 0)
    return matrix * inverse.to(matrix.dtype).repeat_interleave(rows)[:, None]


def check_factors(factors: Factors) -> Factors:
    """The factors themselves, when all their entries are finite numbers. Raises ValueError otherwise."""
    for name in ("left", "right"):
        check_finite(getattr(factors, name), f"factors.{name}")
    return factors


def relative(loss: Tensor | float, total: Tensor | float) -> float:
    """loss / total as a float; a loss of zero is 0 whatever the total, and any loss of nothing is infinite."""
    lost, whole = float(loss), float(total)
    if lost <= 0:
        return 0.0
    return lost / whole if whole > 0 else float("inf")


def frobenius_error(weight: Tensor, factors: Factors) -> float:
    """Relative squared error |W - Y|_F^2 / |W|_F^2 of the factors' product Y.

    `weight` is a matrix (m, n) or a kernel (c_out, c_in, k_h, k_w); the scheme is read off the factors' shapes.
    Raises ValueError for entries that are not finite or factors of another weight.

    >>> weight = torch.diag(torch.tensor([3.0, 1.0]))
    >>> factors = lr.initialize(weight, rank=1, initializer="spectral")
    >>> round(lr.frobenius_error(weight, factors), 6)  # 1^2 of 3^2 + 1^2
    0.1
    """
    weight = check_finite(weight)
    scheme = scheme_of(weight.shape, factors)
    matrix = matricize(weight, scheme)
    norms = compare_rows(matrix, check_factors(factors), rows_per_neuron(weight.shape, scheme))
    return relative(norms.difference.square().sum(), norms.weight.square().sum())


def factor_bound(factors: Factors) -> float:
    """(|left|_F^2 + |right|_F^2) / 2, an upper bound of the nuclear norm of the product, tight when balanced.

    What weight decay on the factors penalizes (Srebro & Shraibman 2005).
    """
    return float(factors.left.double().square().sum() + factors.right.double().square().sum()) / 2


def product_norm(factors: Factors) -> float:
    """|left right|_F from the two r x r Gram matrices, without the product; float64 inside."""
    left, right = factors.left.double(), factors.right.double()
    return float(((left.mT @ left) * (right @ right.mT)).sum().clamp_min(0).sqrt())


def spectral_norm(matrix: Float[Tensor, "m n"]) -> float:
    """The largest singular value, from the smaller Gram matrix."""
    return float(quick_singular_values(matrix)[0])
