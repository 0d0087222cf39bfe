"""The exact function error of a factor pair, and of all truncations of a nested subspace at once."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lrexplore.dual.response import BatchNorm, Response, respond
from lrexplore.linalg import Factors, check_finite, compare_rows, matricize, relative, rows_per_neuron, scheme_of
from lrexplore.linalg.norms import check_factors


def function_error(
    weight: Tensor, factors: Factors, *, activation: str = "relu", batch_norm: BatchNorm | None = None
) -> float:
    """Relative function error E|s(Wx) - s(Yx)|^2 / E|s(Wx)|^2 for inputs x ~ N(0, I), Y the factors' product.

    `weight` is a matrix (m, n) or a kernel (c_out, c_in, k_h, k_w); the scheme is read off the factors' shapes, and
    for a kernel x is a patch of white noise. `activation` is one of `ACTIVATIONS`; a bias is taken as zero.
    `batch_norm` (gamma, beta), each (c_out,): the pre-activation is then gamma z + beta, z ~ N(0, 1), whatever the
    norm of the row. No sampling: closed form where there is one; otherwise right to 1e-6 of the layer's output
    energy, whatever the spread of the pre-activations. A neuron that the factors give exactly loses nothing.
    Raises ValueError for entries that are not finite or factors of another weight.
    Source: Vodrahalli et al. 2022, arXiv:2202.00834.

    >>> weight = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))
    >>> spectral = lr.initialize(weight, rank=4, initializer="spectral")
    >>> function = lr.initialize(weight, rank=4, initializer="function")
    >>> lr.function_error(weight, function) < lr.function_error(weight, spectral)
    True
    >>> lr.frobenius_error(weight, function) > lr.frobenius_error(weight, spectral)
    True
    """
    weight = check_finite(weight)
    scheme = scheme_of(weight.shape, factors)
    matrix = matricize(weight, scheme)
    rows = compare_rows(matrix, check_factors(factors), rows_per_neuron(weight.shape, scheme))
    response = respond(rows.weight, activation, batch_norm)
    lost = torch.where(rows.difference == 0, 0, response.loss(rows.rho, rows.product))
    return relative(lost.sum(), response.energy.sum())


def projected_energy(coordinates: Float[Tensor, "m k"], rows: int = 1) -> Float64[Tensor, "m//{rows} k"]:
    """Squared norm of every neuron's projection on the first r directions, r = 1..k.

    `coordinates`: rows of the matrix in an orthonormal basis; a neuron is `rows` consecutive rows.
    """
    squares = coordinates.double().square()
    if rows > 1:
        squares = squares.view(-1, rows, squares.shape[1]).sum(1)
    return squares.cumsum(1)


def best_errors(response: Response, rho: Float64[Tensor, "neurons points"]) -> Float64[Tensor, " points"]:
    """Function error when every neuron has its best norm, at cosines `rho`."""
    total = response.energy.sum()
    return (1 - response.gain(rho).sum(0) / total).clamp_min(0)


def errors(
    response: Response, rho: Float64[Tensor, "neurons points"], product: Float64[Tensor, "neurons points"]
) -> Float64[Tensor, " points"]:
    """Function error at cosines `rho` and norms `product`."""
    return response.loss(rho, product).sum(0) / response.energy.sum()
