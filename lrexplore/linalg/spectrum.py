"""Singular values and what is read off them."""

from math import pi, sqrt
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lrexplore.linalg.factors import fit_squares, upcast
from lrexplore.linalg.finite import check_finite
from lrexplore.linalg.matricization import matricize

if TYPE_CHECKING:
    import pandas as pd


def singular_values(matrix: Float[Tensor, "m n"]) -> Float64[Tensor, " min(m,n)"]:
    """Singular values of a matrix, descending."""
    return torch.linalg.svdvals(upcast(matrix).double())


def quick_singular_values(matrix: Float[Tensor, "m n"]) -> Float[Tensor, " k"]:
    """Singular values from the smaller Gram matrix, descending: much faster; small ones have half their digits."""
    matrix = fit_squares(matrix)
    gram = matrix @ matrix.mT if matrix.shape[0] < matrix.shape[1] else matrix.mT @ matrix
    return torch.linalg.eigvalsh(gram).flip(0).clamp_min(0).sqrt()


def energy(values: Float[Tensor, " k"]) -> Float64[Tensor, " k"]:
    """Share of the squared Frobenius norm in the first r singular values, for r = 1..len(values).

    A spectrum of zeros has energy 1 at every rank: nothing is lost.
    """
    squares = values.double().square()
    total = squares.sum()
    return squares.cumsum(0) / total if total > 0 else torch.ones_like(squares)


def stable_rank(values: Float[Tensor, " k"]) -> float:
    """|W|_F^2 / |W|_2^2: between 1 and the rank; 0 for the zero matrix."""
    top = values.max().item()
    return float(values.double().square().sum() / top**2) if top > 0 else 0.0


def effective_rank(values: Float[Tensor, " k"]) -> float:
    """exp of the entropy of the normalized singular values (Roy & Vetterli 2007); 0 for the zero matrix."""
    total = values.double().sum()
    if total <= 0:
        return 0.0
    share = values.double() / total
    return float(torch.exp(torch.special.entr(share).sum()))


def marchenko_pastur_density(values: Float[Tensor, " k"], shape: tuple[int, int], std: float) -> Float64[Tensor, " k"]:
    """Density of the singular values of an (m, n) matrix of independent entries with variance std^2.

    Normalized over the min(m, n) singular values; zero outside std (sqrt(max) -+ sqrt(min)).
    Marchenko & Pastur 1967, in singular values.
    """
    small, large = min(shape), max(shape)
    low, high = std * (sqrt(large) - sqrt(small)), std * (sqrt(large) + sqrt(small))
    x = values.double()
    inside = ((high**2 - x**2) * (x**2 - low**2)).clamp_min(0).sqrt()
    return inside / (pi * std**2 * small * x.clamp_min(torch.finfo(torch.float64).tiny))


def marchenko_pastur(shape: tuple[int, int], std: float, num_points: int = 4096) -> Float64[Tensor, " {min(shape)}"]:
    """Expected singular values (quantiles of the Marchenko-Pastur law), descending, min(m, n) of them.

    `shape` (m, n) and `std` of the independent entries. Compare with `singular_values` of a random draw.
    """
    small, large = min(shape), max(shape)
    low, high = sqrt(large) - sqrt(small), sqrt(large) + sqrt(small)
    # x^2 = mid - half cos(phi) takes the square roots at both edges of the law away.
    phi = (torch.arange(num_points, dtype=torch.float64) + 0.5) * (pi / num_points)
    square = (high**2 + low**2) / 2 - (high**2 - low**2) / 2 * torch.cos(phi)
    mass = torch.sin(phi) ** 2 / square
    cumulative = mass.cumsum(0) - mass / 2
    cumulative = cumulative / mass.sum()
    wanted = 1 - (torch.arange(small, dtype=torch.float64) + 0.5) / small
    at = torch.searchsorted(cumulative, wanted).clamp(1, num_points - 1)
    x0, x1 = cumulative[at - 1], cumulative[at]
    share = ((wanted - x0) / (x1 - x0)).clamp(0, 1)
    root = square.sqrt()
    return std * torch.lerp(root[at - 1], root[at], share)


def noise_threshold(values: Float[Tensor, " k"], shape: tuple[int, int]) -> float:
    """The optimal hard threshold for the singular values of an (m, n) matrix under unknown noise.

    omega(beta) times their median, beta = min / max of the shape, where the noise level is read off the
    Marchenko-Pastur median (Gavish & Donoho 2014).
    """
    beta = min(shape) / max(shape)
    omega = 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43
    return omega * float(values.double().quantile(0.5))


def spectrum(weight: Tensor, *, scheme: str = "channel") -> "pd.DataFrame":
    """DataFrame of a weight's spectrum: one row a singular value.

    Columns `rank`, `singular_value`, `energy` (share kept up to this rank), `marchenko_pastur` (what independent
    entries of the same variance would give). `attrs` holds `stable_rank` and `effective_rank`.
    `weight` is a matrix (m, n) or a kernel (c_out, c_in, k_h, k_w), matricized by `scheme`.

    >>> import lrexplore as lr, torch
    >>> table = lr.spectrum(torch.diag(torch.tensor([2.0, 1.0])))
    >>> table[["rank", "singular_value", "energy"]].to_dict("records")
    [{'rank': 1, 'singular_value': 2.0, 'energy': 0.8}, {'rank': 2, 'singular_value': 1.0, 'energy': 1.0}]
    >>> table.attrs["stable_rank"]
    1.25
    """
    import pandas as pd

    matrix = matricize(check_finite(weight), scheme)
    values = singular_values(matrix)
    std = float(matrix.double().square().mean().sqrt())
    table = pd.DataFrame(
        {
            "rank": range(1, len(values) + 1),
            "singular_value": values.cpu().numpy(),
            "energy": energy(values).cpu().numpy(),
            "marchenko_pastur": marchenko_pastur((matrix.shape[0], matrix.shape[1]), std).numpy(),
        }
    )
    table.attrs = {"stable_rank": stable_rank(values), "effective_rank": effective_rank(values)}
    return table
