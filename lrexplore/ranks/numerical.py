"""The rank that a trained layer has by itself: the least at which cutting it costs less than a tolerance."""

from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor, nn

from lrexplore.dual import BatchNorm
from lrexplore.init import Problem
from lrexplore.init.rank_errors import spectral_errors
from lrexplore.linalg import matricize, singular_values
from lrexplore.network import Layer, batch_norms_of, weights_of
from lrexplore.network.layer_choices import check_finite, scheme_for

MEASURES = ("frobenius", "function")


@dataclass(frozen=True)
class NumericalRank:
    """The least rank (of each group) whose best cut has at most the tolerance as its relative error, and that error."""

    rank: int
    error: float


def check_tolerance(tolerance: float, measure: str) -> None:
    """Raises ValueError for a tolerance or a measure that is none."""
    if not isinstance(tolerance, Real) or isinstance(tolerance, bool) or not 0 < tolerance < 1:
        raise ValueError(
            f"`tolerance` must be a relative squared error in (0, 1), got {tolerance!r}. 1e-4 is a hundredth of the"
            " norm."
        )
    if measure not in MEASURES:
        raise ValueError(
            f"`tolerance_of` must be one of {', '.join(MEASURES)}, got {measure!r}. Choose which error is to be within"
            " the tolerance."
        )


def numerical_ranks(
    model: nn.Module,
    layers: list[Layer],
    tolerance: float,
    *,
    measure: str = "frobenius",
    scheme: str | dict[str, str] = "channel",
) -> dict[str, NumericalRank]:
    """Layer name -> the numerical rank of every layer that can be factorized.

    `measure`: "frobenius", the relative squared error of the weight, or "function", that of what follows it on
    Gaussian inputs (`lr.frobenius_error`, `lr.function_error`), both of the truncated SVD. Of a grouped convolution
    every group is within the tolerance.
    """
    check_tolerance(tolerance, measure)
    ranks = {}
    for layer in layers:
        if layer.skip_reason:
            continue
        check_finite(model, layer)
        curves = []
        for weight, norm in zip(weights_of(model, layer), batch_norms_of(model, layer), strict=True):
            curves.append(_errors(weight, measure, scheme_for(layer, scheme), layer.follows.activation, norm))
        worst = torch.stack(curves).amax(0)
        rank = int((worst > tolerance).sum()) + 1  # errors never rise with the rank
        ranks[layer.name] = NumericalRank(rank, float(worst[rank - 1]))
    return ranks


def _errors(weight: Tensor, measure: str, scheme: str, activation: str, norm: BatchNorm | None) -> Tensor:
    """The error of the truncated SVD at every rank, never rising; 0 at the full one."""
    if measure == "frobenius":
        squares = singular_values(matricize(weight, scheme)).square()
        tails = squares.flip(0).cumsum(0).flip(0)  # from the small ones up: none is lost in the sum
        lost = torch.cat([tails[1:], tails.new_zeros(1)]) / tails[0].clamp_min(1e-300)
    else:
        problem = Problem.of(weight.double(), scheme, activation, norm)
        lost = spectral_errors(problem, range(1, problem.max_rank + 1)).function_error
        lost[-1] = 0
    return lost.cpu().flip(0).cummax(0).values.flip(0)
