"""Where a function is smooth: intervals on each of which a polynomial of degree 15 stands for it.

Octave by octave, outwards from 0, an interval is halved until the polynomial through 16 points of it meets the
function between them too (as in Chebfun's splitting; Pachon, Platte & Trefethen 2010). What is never smooth is a break.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import pairwise
from math import log2, pi
from typing import NamedTuple

import numpy as np
import torch
from numpy.polynomial.chebyshev import chebvander
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from lrexplore.dual.activations import FARTHEST, Activation

_DEGREE = 15
_TOLERANCE = 1e-9
# Ends of the octaves on either side are such that no kink at a round number is one of them.
_FIRST = (-0.36954, 0.43871)
_NUM_OCTAVES = 20
# A rough interval is asked for its break when narrower than the first, relative to where it is, and has one when
# narrower than the second. With more intervals at once an octave is given up.
_NARROW, _NARROWEST, _MOST = 2.0**-4, 2.0**-20, 64
# At each halving the misfit of a smooth function falls by 16 bits, with a jump in s, s' or s'' by 2 at most.
_BITS = 5.0
MOST_BREAKS = 16


Function = Callable[[Tensor], Tensor]


class Panels(NamedTuple):
    """`edges` of smooth intervals from -reach to reach, ascending, and the `breaks`, some of the edges."""

    edges: tuple[float, ...]
    breaks: tuple[float, ...]
    reach: float


def find_panels(function: Function, breaks: Iterable[float] = ()) -> Panels:
    """The smooth intervals of a function, as far from 0 as they are few; `breaks` that are known need no search."""
    middle = float(function(torch.linspace(-2, 2, 41, dtype=torch.float64)).abs().max())
    low, high = _FIRST
    edges, found_breaks, reach = set(breaks), set(breaks), 0.0
    spans = [_FIRST]
    for _ in range(_NUM_OCTAVES):
        split = [part for span in spans if (part := _split(function, span, found_breaks, middle)) is not None]
        if len(split) < len(spans):
            break
        for new_edges, new_breaks in split:
            edges.update(new_edges)
            found_breaks.update(new_breaks)
        reach = min(-low, high)
        spans = [(2 * low, low), (high, 2 * high)]
        low, high = 2 * low, 2 * high
    reach = min(reach, FARTHEST)
    inside = {at for at in edges if abs(at) < reach} | {-reach, reach}
    return Panels(tuple(sorted(inside)), tuple(sorted(found_breaks)), reach)


def _split(
    function: Function, span: tuple[float, float], earlier: set[float], middle: float
) -> tuple[set[float], set[float]] | None:
    """Edges of the smooth intervals of a span, and breaks inside; None where there are too many."""
    ends = [span[0], *sorted(at for at in earlier if span[0] < at < span[1]), span[1]]
    todo = torch.tensor(list(zip(ends, ends[1:], strict=False)), dtype=torch.float64)
    edges, breaks = set(ends), set()
    while len(todo):
        error, size = _misfit(function, todo)
        rough = error > _TOLERANCE * size.clamp_min(middle)
        edges.update(todo[~rough].flatten().tolist())
        todo = todo[rough]
        width = (todo[:, 1] - todo[:, 0]) / todo.abs().amax(1).clamp_min(1)
        following = []
        for (low, high), share in zip(todo.tolist(), width.tolist(), strict=True):
            at = _locate(function, low, high, middle, share < _NARROWEST) if share < _NARROW else None
            if at is None:
                following += [(low, (low + high) / 2), ((low + high) / 2, high)]
            elif at in (low, high) or share < _NARROWEST:
                edges.update((low, high))
                breaks.update([] if earlier & {low, high} else [at])
            else:
                breaks.add(at)
                following += [(low, at), (at, high)]
        if len(following) > 2 * _MOST or len(breaks) > MOST_BREAKS:
            return None
        todo = torch.tensor(following, dtype=torch.float64).view(-1, 2)
    return edges, breaks


@lru_cache(maxsize=1)
def _points() -> tuple[Tensor, Tensor, Tensor]:
    """Points in [-1, 1] to interpolate at, points to compare at, and the matrix from values there to values here."""
    count = _DEGREE + 1
    fit, compare = (np.cos((np.arange(count) + shift) * (pi / count)) for shift in (0.5, 0.23))
    matrix = chebvander(compare, _DEGREE) @ np.linalg.inv(chebvander(fit, _DEGREE))
    return torch.from_numpy(fit), torch.from_numpy(compare), torch.from_numpy(matrix)


def _misfit(function: Function, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """How far the polynomial is from the function on each interval (intervals, 2), and how large that is there."""
    fit, compare, matrix = _points()
    middle, half = pairs.mean(1, keepdim=True), (pairs[:, 1:] - pairs[:, :1]) / 2
    value, seen = function(middle + half * fit), function(middle + half * compare)
    return (value @ matrix.mT - seen).abs().amax(1), seen.abs().amax(1)


def _locate(function: Function, low: float, high: float, level: float, surely: bool) -> float | None:
    """The break in an interval, None where none is: halves are chosen for their misfit down to rounding.

    Of what is left the roundest number is taken.
    """
    misfit, size = _misfit(function, torch.tensor([[low, high]], dtype=torch.float64))
    error, rounding = float(misfit), 1e-14 * (float(size) + level * max(abs(low), abs(high)))
    halvings, from_error = 0, rounding
    while error > rounding and high - low > 1e-14 * max(1.0, abs(low)):
        if error < 1e11 * rounding:  # not while the interval is still wide for a smooth function
            halvings, from_error = halvings + 1, max(from_error, error)
        middle = (low + high) / 2
        misfit, _ = _misfit(function, torch.tensor([[low, middle], [middle, high]], dtype=torch.float64))
        low, high = (low, middle) if misfit[0] > misfit[1] else (middle, high)
        error = float(misfit.max())
    if error <= rounding and not surely and halvings * _BITS < log2(from_error / rounding) + 1:
        return None
    slack = 1e-13 * max(1.0, abs(low))
    for digits in range(14):
        at = round((low + high) / 2, digits) + 0.0
        if low - slack <= at <= high + slack:
            return at
    return (low + high) / 2


@lru_cache(maxsize=64)
def panels_of(activation: Activation) -> Panels:
    """The smooth intervals of an activation."""
    return find_panels(activation.function, activation.breaks)


@lru_cache(maxsize=64)
def width_of(activation: Activation) -> float:
    """The least scale on which an activation changes, 1 at most: its narrowest smooth interval away from breaks.

    Of one that is a polynomial between its breaks it is the least distance of these.
    """
    if activation.degree is not None:
        return min([1.0, *(high - low for low, high in pairwise(activation.breaks))])
    edges, breaks, _ = panels_of(activation)
    return min([1.0, *(high - low for low, high in pairwise(edges) if low not in breaks and high not in breaks)])


@lru_cache(maxsize=64)
def is_monotone(activation: Activation) -> bool:
    """Whether an activation rises everywhere, or falls, as far as it is looked at."""
    points, _ = gauss(torch.tensor(panels_of(activation).edges, dtype=torch.float64), _DEGREE + 1)
    steps = activation.function(points).diff()
    rounding = 1e-12 * activation.function(points).abs()[1:]
    return bool((steps >= -rounding).all() or (steps <= rounding).all())


def gauss(cuts: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights, each (..., intervals num_nodes), between consecutive `cuts` (..., points)."""
    node, weight = (torch.from_numpy(x).to(cuts) for x in leggauss(num_nodes))
    middle, half = (cuts[..., 1:] + cuts[..., :-1]) / 2, (cuts[..., 1:] - cuts[..., :-1]) / 2
    return (middle[..., None] + half[..., None] * node).flatten(-2), (half[..., None] * weight).flatten(-2)
