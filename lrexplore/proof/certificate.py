"""A floor under the function error: no factorization of that rank, whatever its factors, does better.

Let P be the projection on the row space of a rank-r matrix Y, t_i = <A_i, P> the squared cosine between neuron i and
that space (A_i = sum of the outer products of its rows over its squared norm). What Y keeps of the output energy is
at most F(P) = sum f_i(t_i) (see `majorants`), so the function error is at least 1 - max F over projections.

1. For any slopes s_i and curvatures b_i >= 0 there are offsets with f_i(t) <= a_i + s_i t + b_i t^2 / 2 on [0, 1].
2. For any symmetric Lambda and any projection P, <Lambda, P - P^2> = 0. Hence F(P) <= H(P) with
   H(P) = sum (a_i + s_i t_i + b_i t_i^2 / 2) + <Lambda, P - P^2>.
3. Where Lambda passes the eigenvalue test of `multiplier`, H is concave on symmetric matrices of trace r. So for any
   one of them, P0, with G the gradient of H there,
   H(P) <= H(P0) + <G, P - P0> <= H(P0) - <G, P0> + (sum of the r largest eigenvalues of G).

Every choice of s, b, Lambda and P0 gives a valid bound; none has to be optimal. With b = 0 and Lambda = 0 it is the
bound by the concave envelopes of the f_i. With majorants that touch f_i at a local maximum P* and a Lambda below the
distances of the eigenvalues of the gradient from its r-th, P* is also where H is largest: the bound is tight and P*
is proved to be a global maximum. Where touching majorants need too large a Lambda they are made flatter, and P0 is
improved by projected gradient steps. H is then largest at a mixture P0 of projections; majorants that are made for
the t_i of this P0, with the distances of the eigenvalues of the gradient there, give a second and better H.

At rank 1 the f_i have a kink where a cosine changes sign, which no function of t_i sees. Where the gain is a closed
form the signs are searched (see `sign_search`). Rounding is added to the bound wherever it enters.
"""

from collections.abc import Callable, Iterable, Iterator
from numbers import Real
from time import monotonic
from typing import NamedTuple

import torch
from torch import Tensor

from lrexplore.dual import BatchNorm, function_error
from lrexplore.init.function_space import function
from lrexplore.init.problem import Problem
from lrexplore.linalg import Factors, check_rank, scheme_of
from lrexplore.proof.relaxation import Relaxation
from lrexplore.proof.sign_search import SignSearch
from lrexplore.proof.unit_neurons import Frame

# Of the relaxations tried in turn, each at the point where the one before ended: how far curvatures go, and what share
# of the directions count as crowded.
_ATTEMPTS = ((0.8, 0.0), (0.85, 0.02))
# In many dimensions a bound costs more, and the first few do nearly all.
_MAX_BOUNDS, _MANY_DIMENSIONS, _MAX_BOUNDS_THERE = 16, 256, 4
_STALLED = 0.03
# At rank 1 some neuron may be all but orthogonal to the best line, where the gradient is nearly infinite: the steps
# start from a point mixed with this share of the center of the Fantope, go on for longer, and may pause on the way.
_MIXED, _MAX_BOUNDS_OF_LINES = 0.3, 30
# Up to here a relaxation of rank 1 is often tighter than a search, and faster.
_FEW_DIMENSIONS, _FEW_NEURONS = 8, 64
# A second relaxation that starts so many times further off is left at once.
_HOPELESS = 4
# Relative gaps: below the first a bound is not improved further, below the second not by another relaxation.
_GOOD_ENOUGH, _FAIR = 1e-3, 4e-3


class Certificate(NamedTuple):
    """How good a factorization is: its function `error`, a `lower_bound` of the error of any of its rank, the `gap`
    (error - lower_bound) / lower_bound, and how many times the bound was improved (`iterations`)."""

    error: float
    lower_bound: float
    gap: float
    iterations: int


def lower_bound(
    weight: Tensor,
    rank: int,
    *,
    scheme: str = "channel",
    activation: str = "relu",
    batch_norm: BatchNorm | None = None,
    time_limit_s: float | None = None,
) -> float:
    """A number that `function_error` of no factorization of this rank is below; 0 at the rank of the weight.

    The proof is in the docstring of this module; the arguments are those of `initialize`. A zero row in the product
    (a neuron switched off) counts as a factorization. `time_limit_s` stops the tightening early, never before the
    first bound. Raises ValueError as `initialize` does.

    >>> weight = torch.randn(12, 20, generator=torch.Generator().manual_seed(0))
    >>> factors = lr.initialize(weight, rank=3)
    >>> 0 < lr.lower_bound(weight, rank=3) <= lr.function_error(weight, factors)
    True
    """
    problem = Problem.of(weight, scheme, activation, batch_norm)
    rank = check_rank(rank, (problem.matrix.shape[0], problem.matrix.shape[1]))
    return next(floor_curve(problem, [rank], time_limit_s))[1]


def certificate(
    weight: Tensor,
    factors: Factors,
    *,
    activation: str = "relu",
    batch_norm: BatchNorm | None = None,
    time_limit_s: float | None = None,
) -> Certificate:
    """How far the factors are, at most, from the best of their rank; the scheme is read off their shapes.

    The bound is tightest for factors near the best ones. Raises ValueError as `function_error` does.

    >>> weight = torch.randn(12, 20, generator=torch.Generator().manual_seed(0))
    >>> found = lr.certificate(weight, lr.initialize(weight, rank=3))
    >>> found.lower_bound <= found.error, found.gap < 0.05
    (True, True)
    """
    error = function_error(weight, factors, activation=activation, batch_norm=batch_norm)
    problem = Problem.of(weight, scheme_of(weight.shape, factors), activation, batch_norm)
    if _is_free(problem, factors.rank):
        return Certificate(error, 0.0, 0.0 if error == 0 else float("inf"), 0)
    bound, iterations = _tighten(Frame(problem), factors, _deadline(time_limit_s))
    gap = 0.0 if error <= bound else (error - bound) / bound if bound > 0 else float("inf")
    return Certificate(error, bound, gap, iterations)


def floor_curve(
    problem: Problem,
    ranks: Iterable[int],
    time_limit_s: float | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, float]]:
    """Pairs (rank, lower bound of the function error) coarse to fine: both ends, the middle, the quarters, ...

    Ends early when `cancelled()` is true before a rank or when `time_limit_s` is over, but not before the first pair.
    """
    deadline = _deadline(time_limit_s)
    frame = None
    floors: dict[int, float] = {}
    for rank in coarse_to_fine(sorted(set(ranks))):
        if floors and (cancelled() or monotonic() > deadline):
            return
        if _is_free(problem, rank):
            floors[rank] = 0.0
        else:
            frame = frame or Frame(problem)
            bound, _ = _tighten(frame, function(problem, rank, num_starts=_num_starts(rank)), deadline)
            # What no factorization of a larger rank can do, none of this rank can.
            floors[rank] = max([bound, *(value for other, value in floors.items() if other > rank)])
        yield rank, floors[rank]


def coarse_to_fine(items: list) -> list:
    """The same items: the first, the last, then the middle of every stretch that is left, longest first."""
    if len(items) <= 2:
        return list(items)
    ordered, stretches = [items[0], items[-1]], [(0, len(items) - 1)]
    while stretches:
        low, high = stretches.pop(0)
        if high - low > 1:
            middle = (low + high) // 2
            ordered.append(items[middle])
            stretches += [(low, middle), (middle, high)]
    return ordered


def _is_free(problem: Problem, rank: int) -> bool:
    """Whether a product of this rank can be the weight itself, or there is nothing to lose."""
    if rank >= problem.max_rank or not float(problem.response.energy.sum()) > 0:
        return True
    return rank >= problem.decomposition(rank).numerical_rank


def _num_starts(rank: int) -> int:
    """At the lowest ranks there are several local maxima, and a start costs nothing."""
    return 8 if rank <= 2 else 1


def _deadline(time_limit_s: float | None) -> float:
    if time_limit_s is not None and (
        not isinstance(time_limit_s, Real) or isinstance(time_limit_s, bool) or not time_limit_s >= 0
    ):
        raise ValueError(f"`time_limit_s` must be a number of seconds >= 0, got {time_limit_s!r}. None sets no limit.")
    return float("inf") if time_limit_s is None else monotonic() + time_limit_s


def _tighten(frame: Frame, factors: Factors, deadline: float) -> tuple[float, int]:
    """A lower bound of the function error at the rank of the factors, and how many bounds were tried."""
    point = frame.subspace(factors.right)
    kept = frame.kept(point)
    enough = kept + _GOOD_ENOUGH * (1 - kept)
    line_gain = frame.line_gain if factors.rank == 1 else None
    small = frame.dimension <= _FEW_DIMENSIONS and len(frame.rows) <= _FEW_NEURONS
    best, count = float("inf"), 0
    if small or line_gain is None:
        best, count = _relax(frame, factors.rank, point, kept, deadline)
    if line_gain is not None and best > enough:
        line = torch.linalg.eigh(point).eigenvectors[:, -1]
        bound, nodes = SignSearch(frame.rows, frame.majorants.energy, line_gain).bound(line, enough, deadline)
        best, count = min(best, bound), count + nodes
    return max(1.0 - best, 0.0), count


def _relax(frame: Frame, rank: int, point: Tensor, kept: float, deadline: float) -> tuple[float, int]:
    """What no subspace of this rank keeps more of, by one or two relaxations, and how many bounds were tried."""
    center, start, window = point, point, 3
    most = _MAX_BOUNDS if frame.dimension <= _MANY_DIMENSIONS else _MAX_BOUNDS_THERE
    if rank == 1:
        middle = torch.eye(frame.dimension, dtype=point.dtype, device=point.device) / frame.dimension
        start = torch.lerp(point, middle, _MIXED)
        if frame.dimension <= _MANY_DIMENSIONS:
            most, window = _MAX_BOUNDS_OF_LINES, 8
    best, count = float("inf"), 0
    for norm, crowded in _ATTEMPTS:
        relaxation = Relaxation(frame, rank, center, norm, 1 + round(crowded * frame.dimension))
        latest: list[float] = []
        for bound, center in relaxation.ascend(start):  # noqa: B007, where it ends is the next center
            count, best = count + 1, min(best, bound)
            latest.append(min([bound, *latest[-1:]]))
            if best - kept <= _GOOD_ENOUGH * (1 - kept) or monotonic() > deadline:
                return best, count
            hopeless = len(latest) == 1 and bound - kept > _HOPELESS * (best - kept)
            stalled = len(latest) >= window and latest[-window] - latest[-1] < _STALLED * (latest[-1] - kept)
            if hopeless or stalled or len(latest) >= most:
                break
        if best - kept <= _FAIR * (1 - kept):
            break
        start = center
    return best, count
