"""How the published recipe fares, epoch by epoch, by the exact function error."""

from typing import Any

import torch
from torch import Tensor

from lrexplore.dual import BatchNorm, function_error
from lrexplore.init.independent import independent
from lrexplore.init.problem import Problem
from lrexplore.init.sampled import sampled
from lrexplore.init.spectral import spectral
from lrexplore.linalg import Factors


def sampled_curve(
    weight: Tensor,
    rank: int,
    *,
    warm_start: bool = True,
    batch_norm: BatchNorm | None = None,
    generator: torch.Generator | None = None,
    **options: Any,
) -> list[float]:
    """Function errors of `sampled` for a weight (m, n): of its start, then after every epoch.

    The last one is that of `initialize(weight, rank, initializer="sampled", ...)` with the same options and
    generator: looking on changes nothing. What is drawn is the exact expectation under N(0, I), not the loss on the
    samples that the fit sees. ReLU follows the layer, after `batch_norm` if there is one. Raises as `initialize` does.
    """
    problem = Problem.of(weight, "channel", "relu", batch_norm)
    if generator is None:
        generator = torch.Generator(weight.device).manual_seed(0)

    def error(factors: Factors) -> float:
        return function_error(problem.matrix, factors, batch_norm=batch_norm)

    state = generator.get_state()
    start = (spectral if warm_start else independent)(problem, rank, generator=generator)
    generator.set_state(state)
    errors = [error(start)]
    sampled(
        problem, rank, generator=generator, warm_start=warm_start,
        on_epoch=lambda epoch, factors: errors.append(error(factors)), **options,
    )  # fmt: skip
    return errors
