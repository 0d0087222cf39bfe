"""Errors of one weight at many ranks: all ranks at once where the initializer is nested."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrexplore.dual import BatchNorm
from lrexplore.init.initialize import required_inputs
from lrexplore.init.initializers import find_initializer
from lrexplore.init.problem import Problem, check_generator
from lrexplore.init.rank_errors import RankErrors, single_errors, truncated_errors
from lrexplore.init.record import Initializer
from lrexplore.linalg import Factors, check_finite, check_rank
from lrexplore.linalg.inputs import LayerInputs

if TYPE_CHECKING:
    import pandas as pd


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
    problem: Problem,
    initializer: str | Callable,
    ranks: Iterable[int],
    generator: torch.Generator | None = None,
    **options: Any,
) -> RankErrors:
    """Errors of a nested initializer at all the ranks at once, by cumulative sums.

    Raises ValueError where a nested initializer of another person is found not to be.
    """
    record, ranks = find_initializer(initializer), list(ranks)
    if record.all_ranks is not None:
        return record.all_ranks(problem, ranks, generator)
    if generator is None:
        generator = torch.Generator(problem.matrix.device).manual_seed(0)
    return truncated_errors(problem, _nested_factors(record, problem, generator, options), ranks)


def _nested_factors(record: Initializer, problem: Problem, generator: torch.Generator, options: dict) -> Factors:
    """The factors of full rank, whose truncations are those of lower ranks: looked at for one of these."""
    began = generator.get_state()
    full = record(problem, problem.max_rank, generator=generator, **options)
    rank = max(1, problem.max_rank // 2)
    ours = full.left[:, :rank] @ full.right[:rank]
    theirs = record(problem, rank, generator=generator.set_state(began), **options).product()
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max())):
        raise ValueError(
            f"`nested` must be said of initializers whose factors of rank r are the first r columns and rows of those "
            f"of full rank, got {record.name}, whose product at rank {rank} differs. Register it with `nested=False`."
        )
    return full


def each_rank(
    problem: Problem,
    initializer: str | Callable,
    ranks: Iterable[int],
    generator: torch.Generator | None = None,
    **options: Any,
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
    initializer: str | Callable = "function",
    ranks: Iterable[int] | None = None,
    scheme: str = "channel",
    activation: str = "relu",
    batch_norm: BatchNorm | None = None,
    calibration: LayerInputs | None = None,
    generator: torch.Generator | None = None,
    **options: Any,
) -> "pd.DataFrame":
    """DataFrame of both relative errors against rank: columns `rank`, `function_error`, `frobenius_error`.

    `ranks` None takes every rank for the nested initializers (independent, spectral, rescaled: all at once), and 32
    ranks for the others, which are run anew at each. The other arguments are those of `initialize`; errors are on
    Gaussian inputs also for the initializers of real ones (`input_error` has the others).
    Raises ValueError as `initialize` does.

    >>> curve = lr.error_curve(torch.eye(4), initializer="spectral", activation="identity")
    >>> curve["rank"].tolist(), curve["frobenius_error"].round(6).tolist()
    ([1, 2, 3, 4], [0.75, 0.5, 0.25, 0.0])
    """
    import pandas as pd

    record = find_initializer(initializer)
    if record.is_real:
        options["calibration"] = calibration = required_inputs(calibration, record.name)
        calibration.check_shape(check_finite(weight).shape)
    check_generator(generator)
    problem = Problem.of(weight, scheme, activation, batch_norm)
    shape = (problem.matrix.shape[0], problem.matrix.shape[1])
    nested = record.nested
    if record.all_ranks is not None and options:
        raise TypeError(
            f"`{next(iter(options))}` must be an option of the initializer, got {record.name!r}, which has none. "
            "Leave it out."
        )
    if ranks is None:
        ranks = rank_grid(problem.max_rank, problem.max_rank if nested else 32)
    if not isinstance(ranks, Iterable) or isinstance(ranks, str | bytes | Tensor):
        raise TypeError(f"`ranks` must be several ranks, got {type(ranks).__name__}. Pass a list, as in `[4, 8]`.")
    ranks = [check_rank(rank, shape) for rank in ranks]
    if not ranks:
        raise ValueError("`ranks` must name at least one rank, got none. Leave it out for a grid over all ranks.")
    if nested:
        points = [nested_errors(problem, record, ranks, generator, **options)]
    else:
        points = list(each_rank(problem, record, ranks, generator, **options))
    return pd.DataFrame(
        {
            "rank": ranks,
            "function_error": torch.cat([p.function_error for p in points]).cpu().numpy(),
            "frobenius_error": torch.cat([p.frobenius_error for p in points]).cpu().numpy(),
        }
    )
