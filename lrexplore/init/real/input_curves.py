"""Errors of one layer on its real inputs at many ranks; all ranks of a nested initializer share their products."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from lrexplore.init.initializers import find_initializer
from lrexplore.init.problem import Problem
from lrexplore.init.real.corrected import CorrectedFactors
from lrexplore.init.real.problem import RealProblem
from lrexplore.init.real.whitened import Whitening
from lrexplore.init.spectral import spectral
from lrexplore.linalg.inputs import LayerInputs


def input_errors(
    problem: Problem,
    initializer: str | Callable,
    ranks: Iterable[int],
    calibration: LayerInputs,
    generator: torch.Generator | None = None,
    **options: Any,
) -> Float64[Tensor, " points"]:
    """Relative function error on the held-out inputs at each of `ranks`.

    `spectral` and the closed forms of `whitened` are decomposed once for all ranks (under the spatial scheme `left` is
    solved for at each); the others are run anew at each rank. Where a whitened initializer falls back on
    `spectral`, its error is that of `spectral`.
    """
    ranks = list(ranks)
    real = RealProblem(problem, calibration)
    record = find_initializer(initializer)
    if record.make is spectral:
        return _spectral_errors(real, ranks)
    if record.whitening is not None:
        whitening = Whitening(real, **record.whitening)
        own = _nested_errors(real, whitening, ranks) if real.rows == 1 else _each(real, whitening, ranks)
        return torch.minimum(own, _spectral_errors(real, ranks))
    if record.is_real:
        options["calibration"] = calibration
    errors = []
    for rank in ranks:
        draws = generator or torch.Generator(problem.matrix.device).manual_seed(0)
        errors.append(real.error(record(problem, rank, generator=draws, **options)))
    return torch.tensor(errors, dtype=torch.float64)


def _spectral_errors(real: RealProblem, ranks: list[int]) -> Tensor:
    top = max(ranks)
    full = real.problem.decomposition(top).truncated(top)
    return _cumulative(real, full.left.double(), full.right.double(), ranks, None)


def _nested_errors(real: RealProblem, whitening: Whitening, ranks: list[int]) -> Tensor:
    right = whitening.right[: max(ranks)]
    left = whitening.left(right)
    mean = real.mean if whitening.centred else None
    return _cumulative(real, left, right, ranks, mean)


def _cumulative(real: RealProblem, left: Tensor, right: Tensor, ranks: list[int], mean: Tensor | None) -> Tensor:
    """Errors of the first r columns and rows of the factors, for each r; with `mean`, outputs keep their mean."""
    errors = {rank: real.relative_loss(z) for rank, z in cumulative_outputs(real, left, right, ranks, mean)}
    return torch.tensor([errors[rank] for rank in ranks], dtype=torch.float64)


def cumulative_outputs(
    real: RealProblem,
    left: Float64[Tensor, "m r"],
    right: Float64[Tensor, "r n"],
    ranks: Iterable[int],
    mean: Float64[Tensor, " inputs"] | None,
) -> Iterator[tuple[int, Tensor]]:
    """Pairs (rank, z) at rising ranks: z (h, neurons), the outputs on `held_out` of the first r columns and rows.

    With `mean`, the mean input, outputs keep their mean. z is the same tensor each time, changed in place.
    """
    vectors = real.held_out
    z = vectors.new_zeros(len(vectors), len(real.neurons))
    if mean is not None:
        vectors, z = vectors - mean.to(vectors), z + (real.neurons @ mean).to(vectors)
    hidden = vectors.view(len(vectors), real.rows, -1) @ right.mT.to(vectors)
    left = left.view(len(real.neurons), real.rows, -1).to(vectors)
    done = 0
    for rank in sorted(set(ranks)):
        # Past the last direction nothing is added.
        z += hidden[..., done:rank].flatten(1) @ left[..., done:rank].flatten(1).mT
        done = rank
        yield rank, z


def _each(real: RealProblem, whitening: Whitening, ranks: list[int]) -> Tensor:
    def error(rank: int) -> float:
        right = whitening.right[:rank]
        left = whitening.left(right)
        return real.error(CorrectedFactors(left, right, whitening.bias(left, right)))

    return torch.tensor([error(rank) for rank in ranks], dtype=torch.float64)
