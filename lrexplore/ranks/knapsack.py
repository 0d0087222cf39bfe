"""One choice for each layer, least total error within a budget: the multiple-choice knapsack problem.

The linear relaxation runs along the lower convex hulls of the layers' (cost, error) points; it gives the multiplier
lambda of the budget and a lower bound L. A choice whose reduced cost e + lambda c - min(e + lambda c) exceeds
(best known) - L is in no better solution. Dynamic programming over what is left, with dominated and hopeless states
dropped, ends at the optimum (Dyer, Kayal & Walker 1984; Pisinger 1995). Where the states outgrow their limit, the best
found is given with the gap to L that is proven.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

MAX_STATES = 20_000


@dataclass(frozen=True)
class Choices:
    """The choices of one layer: `costs` and `errors`, arrays of one length, in any order."""

    costs: np.ndarray
    errors: np.ndarray

    @cached_property
    def corners(self) -> list[int]:
        """Indices of the lower convex hull; found once, however many budgets are asked."""
        return hull(self.costs, self.errors)


@dataclass(frozen=True)
class Solution:
    """`picks`: the index chosen for each layer. `bound` <= optimum <= `error`; `optimal` where proven equal."""

    picks: tuple[int, ...]
    error: float
    cost: float
    bound: float
    optimal: bool

    @property
    def gap(self) -> float:
        """How far above the optimum `error` can be, relative to it; 0 where it is the optimum."""
        return 0.0 if self.optimal or self.error <= 0 else max(0.0, 1 - self.bound / self.error)


def solve(layers: list[Choices], budget: float, *, max_states: int = MAX_STATES) -> Solution:
    """The choices of least total error whose total cost is at most `budget`.

    Raises ValueError where even the cheapest choices cost more; the message has their cost.
    """
    smallest = sum(float(layer.costs.min()) for layer in layers)
    slack = 1e-9 * max(abs(budget), 1.0)
    if smallest > budget + slack:
        raise ValueError(f"`budget` must be at least {smallest:g}, the least cost of any plan, got {budget:g}.")
    budget += slack
    multiplier = _multiplier(layers, budget)
    reduced, least = [], 0.0
    for layer in layers:
        value = layer.errors + multiplier * layer.costs
        least += float(value.min())
        reduced.append(value - value.min())
    bound = least - multiplier * budget
    best = _greedy(layers, multiplier, budget)
    for limit in sorted({min(200, max_states), min(2_000, max_states), max_states}):
        best, complete = _search(layers, reduced, bound, budget, best, limit)
        if complete:
            break
    error = float(sum(layer.errors[pick] for layer, pick in zip(layers, best, strict=True)))
    cost = float(sum(layer.costs[pick] for layer, pick in zip(layers, best, strict=True)))
    return Solution(tuple(best), error, cost, error if complete else min(bound, error), complete)


def hull(costs: np.ndarray, errors: np.ndarray) -> list[int]:
    """Indices of the lower convex hull of the points, by rising cost and falling error."""
    corners: list[int] = []
    for index in np.lexsort((errors, costs)):
        if corners and errors[index] >= errors[corners[-1]]:
            continue
        while len(corners) > 1:
            a, b = corners[-2], corners[-1]
            below = (errors[b] - errors[a]) * (costs[index] - costs[a])
            if below < (errors[index] - errors[a]) * (costs[b] - costs[a]):
                break
            corners.pop()
        corners.append(int(index))
    return corners


def _multiplier(layers: list[Choices], budget: float) -> float:
    """Error saved per cost on the hull edge at which the budget is used up; 0 where it never is."""
    steps, spent = [], 0.0
    for layer in layers:
        corners = layer.corners
        spent += float(layer.costs[corners[0]])
        for a, b in zip(corners, corners[1:], strict=False):
            cost = float(layer.costs[b] - layer.costs[a])
            steps.append((float(layer.errors[a] - layer.errors[b]) / cost, cost))
    for slope, cost in sorted(steps, reverse=True):
        spent += cost
        if spent > budget:
            return slope
    return 0.0


def _greedy(layers: list[Choices], multiplier: float, budget: float) -> list[int]:
    """A feasible start: hull steps by falling slope, those that still fit."""
    corners = [layer.corners for layer in layers]
    at = [0] * len(layers)
    left = budget - sum(float(layer.costs[c[0]]) for layer, c in zip(layers, corners, strict=True))
    steps = []
    for number, (layer, c) in enumerate(zip(layers, corners, strict=True)):
        for place in range(1, len(c)):
            cost = float(layer.costs[c[place]] - layer.costs[c[place - 1]])
            steps.append((float(layer.errors[c[place - 1]] - layer.errors[c[place]]) / cost, cost, number, place))
    for _, cost, number, place in sorted(steps, reverse=True):
        if cost <= left and at[number] == place - 1:
            at[number], left = place, left - cost
    return [c[place] for c, place in zip(corners, at, strict=True)]


def _search(
    layers: list[Choices], reduced: list[np.ndarray], bound: float, budget: float, best: list[int], limit: int
) -> tuple[list[int], bool]:
    """The best choices that dynamic programming finds, and whether nothing was dropped that could be better."""
    best_error = float(sum(layer.errors[pick] for layer, pick in zip(layers, best, strict=True)))
    # Layers with few possible choices first: the states multiply late.
    tolerance = 1e-12 * max(best_error, 1e-300)
    allowed = [np.flatnonzero(bound + extra < best_error - tolerance) for extra in reduced]
    if any(len(indices) == 0 for indices in allowed):
        return best, True
    order = sorted(range(len(layers)), key=lambda number: len(allowed[number]))
    cheapest = np.array([layers[number].costs[allowed[number]].min() for number in order])
    rest = np.append(np.cumsum(cheapest[::-1])[::-1], 0.0)[1:]
    costs, errors, extras = np.zeros(1), np.zeros(1), np.zeros(1)
    trail, complete = [], True
    for step, number in enumerate(order):
        indices = allowed[number]
        new_costs = (costs[:, None] + layers[number].costs[indices]).ravel()
        new_extras = (extras[:, None] + reduced[number][indices]).ravel()
        hopeful = (bound + new_extras < best_error - tolerance) & (new_costs + rest[step] <= budget)
        kept = np.flatnonzero(hopeful)
        new_errors = (errors[:, None] + layers[number].errors[indices]).ravel()
        kept = kept[np.lexsort((new_errors[kept], new_costs[kept]))]
        lowest = np.minimum.accumulate(new_errors[kept])
        kept = kept[np.append(True, lowest[1:] < lowest[:-1])[: len(kept)]]
        if len(kept) > limit:
            complete = False
            kept = np.sort(kept[np.argpartition(new_extras[kept], limit)[:limit]])
        if len(kept) == 0:
            return best, complete
        trail.append((kept // len(indices), indices[kept % len(indices)]))
        costs, errors, extras = new_costs[kept], new_errors[kept], new_extras[kept]
    state = int(errors.argmin())
    if errors[state] < best_error:
        best = list(best)
        for step in range(len(order) - 1, -1, -1):
            parents, picks = trail[step]
            best[order[step]], state = int(picks[state]), int(parents[state])
    return best, complete
