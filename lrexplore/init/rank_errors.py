"""Errors of one weight at some ranks: of given factors, and of nested ones at all ranks by cumulative sums."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from lrexplore.dual import projected_energy
from lrexplore.init.independent import draw_directions, entry_variance
from lrexplore.init.problem import Problem
from lrexplore.linalg import Factors, compare_rows


class RankErrors(NamedTuple):
    """Both relative errors at some ranks, and what each neuron does there; arrays over ranks are last."""

    ranks: Int[Tensor, " points"]
    function_error: Float64[Tensor, " points"]
    frobenius_error: Float64[Tensor, " points"]
    rho: Float64[Tensor, "neurons points"]  # cosine between a neuron and its replacement
    loss: Float64[Tensor, "neurons points"]  # what the neuron loses, as a share of the layer's output energy


def independent_errors(problem: Problem, ranks: Iterable[int], generator: torch.Generator | None = None) -> RankErrors:
    """Errors of `independent` at all the ranks."""
    if generator is None:
        generator = torch.Generator(problem.matrix.device).manual_seed(0)
    wanted = _as_tensor(problem, ranks)
    inner, squares = _cumulative_products(problem, draw_directions(problem, generator))
    factor = entry_variance(problem) / torch.arange(1, problem.max_rank + 1, dtype=torch.float64, device=wanted.device)
    return _compare(problem, wanted, (inner * factor.sqrt())[:, wanted - 1], (squares * factor)[:, wanted - 1])


def spectral_errors(problem: Problem, ranks: Iterable[int], generator: torch.Generator | None = None) -> RankErrors:
    """Errors of `spectral` at all the ranks."""
    wanted = _as_tensor(problem, ranks)
    kept = _kept_energy(problem, wanted)
    return _compare(problem, wanted, kept, kept)


def rescaled_errors(problem: Problem, ranks: Iterable[int], generator: torch.Generator | None = None) -> RankErrors:
    """Errors of `rescaled` at all the ranks."""
    wanted = _as_tensor(problem, ranks)
    kept, norms = _kept_energy(problem, wanted), problem.norms[:, None]
    rho = _cosine(kept, norms * kept.sqrt())
    best = torch.where(norms > 0, problem.response.best_norm(rho), 0)
    lost = (norms**2 + best**2 - 2 * best * norms * rho).sum(0)
    return _summarize(problem, wanted, rho, best, lost)


def truncated_errors(problem: Problem, factors: Factors, ranks: Iterable[int]) -> RankErrors:
    """Errors of the first r columns and rows of `factors` at all the ranks r."""
    wanted = _as_tensor(problem, ranks)
    inner, squares = _cumulative_products(problem, factors)
    return _compare(problem, wanted, inner[:, wanted - 1], squares[:, wanted - 1].clamp_min(0))


def single_errors(problem: Problem, factors: Factors, rank: int) -> RankErrors:
    """Errors of given factors of the problem's matrix, as one point at `rank`."""
    rows = compare_rows(problem.matrix, factors, problem.rows)
    ranks = torch.tensor([rank], device=problem.matrix.device)
    lost = rows.difference.square().sum()[None]
    return _summarize(problem, ranks, rows.rho[:, None], rows.product[:, None], lost)


def _as_tensor(problem: Problem, ranks: Iterable[int]) -> Tensor:
    return torch.as_tensor(list(ranks), device=problem.matrix.device)


def _kept_energy(problem: Problem, ranks: Tensor) -> Tensor:
    """|Y_i|^2 = w_i . Y_i of every neuron in the top singular subspaces, (neurons, points)."""
    top = int(ranks.max())
    squares = projected_energy(problem.decomposition(top).coordinates(top), problem.rows)[:, ranks - 1]
    return torch.minimum(squares, problem.norms[:, None] ** 2)


def _cumulative_products(problem: Problem, factors: Factors) -> tuple[Tensor, Tensor]:
    """w.y and |y|^2 of every neuron for the first r columns and rows, r = 1..rank, each (neurons, rank)."""
    inner = (problem.matrix @ factors.right.mT) * factors.left
    gram = factors.right @ factors.right.mT
    squares = factors.left * (factors.left @ (2 * gram.triu(1) + torch.diag(gram.diagonal())))
    neurons = len(problem.norms)
    products, energies = (x.double().view(neurons, problem.rows, -1).sum(1).cumsum(1) for x in (inner, squares))
    return products, energies


def _cosine(inner: Tensor, scale: Tensor) -> Tensor:
    return torch.where(scale > 0, inner / scale.clamp_min(1e-300), 0).clamp(-1, 1)


def _compare(problem: Problem, ranks: Tensor, inner: Tensor, squares: Tensor) -> RankErrors:
    norms, product = problem.norms[:, None], squares.sqrt()
    lost = (norms**2 + squares - 2 * inner).sum(0)
    return _summarize(problem, ranks, _cosine(inner, norms * product), product, lost)


def _summarize(problem: Problem, ranks: Tensor, rho: Tensor, product: Tensor, lost: Tensor) -> RankErrors:
    norms, energy = problem.norms, problem.response.energy.sum()
    total = norms.square().sum()
    loss = problem.response.loss(rho, product)
    tiny = torch.finfo(torch.float64).tiny
    frobenius = torch.where(lost > 0, lost / total.clamp_min(tiny), 0)
    return RankErrors(ranks, loss.sum(0) / energy.clamp_min(tiny), frobenius, rho, loss / energy.clamp_min(tiny))
