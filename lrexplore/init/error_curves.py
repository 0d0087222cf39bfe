"""Errors of one weight at many ranks: all ranks at once where the initializer is nested."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lrexplore.dual import BatchNorm, projected_energy
from lrexplore.init.independent import draw_directions, entry_variance
from lrexplore.init.initialize import REAL_INPUTS, find_initializer, required_inputs
from lrexplore.init.problem import Problem
from lrexplore.linalg import check_rank, compare_rows
from lrexplore.linalg.inputs import LayerInputs

NESTED = ("independent", "spectral", "rescaled")


class RankErrors(NamedTuple):
    """Both relative errors at some ranks, and what each neuron does there; arrays over ranks are last."""

    ranks: Tensor  # (points,)
    function_error: Tensor  # (points,) float64
    frobenius_error: Tensor  # (points,) float64
    rho: Tensor  # (neurons, points): cosine between a neuron and its replacement
    loss: Tensor  # (neurons, points): what the neuron loses, as a share of the layer's output energy


def rank_grid(max_rank: int, num_points: int) -> list[int]:
    """At most `num_points` ranks from 1 to max_rank: all where they fit, else denser at low ranks."""
    if max_rank <= num_points:
        return list(range(1, max_rank + 1))
    spaced = torch.linspace(0, 1, num_points, dtype=torch.float64) ** 1.6
    grid = set((1 + spaced * (max_rank - 1)).round().long().tolist())
    missing = (rank for rank in range(1, max_rank) if rank not in grid)
    while len(grid) < num_points:
        grid.add(next(missing))
    return sorted(grid)


def nested_errors(
    problem: Problem, initializer: str, ranks: Iterable[int], generator: torch.Generator | None = None
) -> RankErrors:
    """Errors of `independent`, `spectral` or `rescaled` at all the ranks at once, by cumulative sums."""
    ranks = torch.as_tensor(list(ranks), device=problem.matrix.device)
    norms = problem.norms[:, None]
    if initializer == "independent":
        inner, squares = _independent_products(problem, generator)
        counts = torch.arange(1, problem.max_rank + 1, dtype=torch.float64, device=ranks.device)
        factor = entry_variance(problem) / counts
        inner, squares = (inner * factor.sqrt())[:, ranks - 1], (squares * factor)[:, ranks - 1]
    else:
        top = int(ranks.max())
        coordinates = problem.decomposition(top).coordinates(top)
        squares = projected_energy(coordinates, problem.rows)[:, ranks - 1]
        inner = squares = torch.minimum(squares, norms**2)
    product = squares.sqrt()
    scale = norms * product
    rho = torch.where(scale > 0, inner / scale.clamp_min(1e-300), 0).clamp(-1, 1)
    if initializer == "rescaled":
        best = torch.where(norms > 0, problem.response.best_norm(rho), 0)
        product, inner = best, best * norms * rho
    lost = (norms**2 + product**2 - 2 * inner).sum(0)
    return _summarize(problem, ranks, rho, product, lost)


def _independent_products(problem: Problem, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """w.y and |y|^2 of every neuron for the unscaled draw at ranks 1..max_rank, each (neurons, max_rank)."""
    if generator is None:
        generator = torch.Generator(problem.matrix.device).manual_seed(0)
    drawn = draw_directions(problem, generator)
    inner = (problem.matrix @ drawn.right.mT) * drawn.left
    gram = drawn.right @ drawn.right.mT
    squares = drawn.left * (drawn.left @ (2 * gram.triu(1) + torch.diag(gram.diagonal())))
    neurons = len(problem.norms)
    return tuple(x.double().view(neurons, problem.rows, -1).sum(1).cumsum(1) for x in (inner, squares))


def single_errors(problem: Problem, factors, rank: int) -> RankErrors:
    """Errors of given factors of the problem's matrix, as one point at `rank`."""
    rows = compare_rows(problem.matrix, factors, problem.rows)
    ranks = torch.tensor([rank], device=problem.matrix.device)
    lost = rows.difference.square().sum()[None]
    return _summarize(problem, ranks, rows.rho[:, None], rows.product[:, None], lost)


def _summarize(problem: Problem, ranks: Tensor, rho: Tensor, product: Tensor, lost: Tensor) -> RankErrors:
    norms, energy = problem.norms, problem.response.energy.sum()
    total = norms.square().sum()
    loss = problem.response.loss(rho, product)
    tiny = torch.finfo(torch.float64).tiny
    frobenius = torch.where(lost > 0, lost / total.clamp_min(tiny), 0)
    return RankErrors(ranks, loss.sum(0) / energy.clamp_min(tiny), frobenius, rho, loss / energy.clamp_min(tiny))


def each_rank(
    problem: Problem, initializer: str, ranks: Iterable[int], generator: torch.Generator | None = None, **options
) -> Iterator[RankErrors]:
    """Errors rank by rank, for an initializer that has to be run anew at each; the order is that of `ranks`."""
    make = find_initializer(initializer)
    for rank in ranks:
        if generator is None:
            seeded = torch.Generator(problem.matrix.device).manual_seed(0)
        else:
            seeded = generator
        yield single_errors(problem, make(problem, rank, generator=seeded, **options), rank)


def error_curve(
    weight: Tensor,
    *,
    initializer: str = "function",
    ranks: Iterable[int] | None = None,
    scheme: str = "channel",
    activation: str = "relu",
    batch_norm: BatchNorm | None = None,
    calibration: LayerInputs | None = None,
    generator: torch.Generator | None = None,
    **options,
):
    """DataFrame of both relative errors against rank: columns `rank`, `function_error`, `frobenius_error`.

    `ranks` None takes every rank for the nested initializers (independent, spectral, rescaled: all at once), and 32
    ranks for the others, which are run anew at each. The other arguments are those of `initialize`; errors are on
    Gaussian inputs also for the initializers of real ones (`input_error` has the others).
    Raises ValueError as `initialize` does.
    """
    import pandas as pd

    find_initializer(initializer)
    if initializer in REAL_INPUTS:
        options["calibration"] = required_inputs(calibration, initializer)
        calibration.check_shape(tuple(weight.shape))
    problem = Problem.of(weight, scheme, activation, batch_norm)
    shape = tuple(problem.matrix.shape)
    nested = initializer in NESTED
    if nested and options:
        raise TypeError(
            f"`{next(iter(options))}` must be an option of the initializer, got {initializer!r}, which has none. "
            "Leave it out."
        )
    if ranks is None:
        ranks = rank_grid(problem.max_rank, problem.max_rank if nested else 32)
    ranks = [check_rank(rank, shape) for rank in ranks]
    if not ranks:
        raise ValueError("`ranks` must name at least one rank, got none. Leave it out for a grid over all ranks.")
    if nested:
        points = [nested_errors(problem, initializer, ranks, generator)]
    else:
        points = list(each_rank(problem, initializer, ranks, generator, **options))
    return pd.DataFrame(
        {
            "rank": ranks,
            "function_error": torch.cat([p.function_error for p in points]).cpu().numpy(),
            "frobenius_error": torch.cat([p.frobenius_error for p in points]).cpu().numpy(),
        }
    )
