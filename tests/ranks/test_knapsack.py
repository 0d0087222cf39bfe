import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrexplore.ranks.knapsack import Choices, hull, solve

layer = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30)), min_size=1, max_size=5)


def _brute_force(layers, budget):
    totals = [
        (sum(c.errors[p] for c, p in zip(layers, picks, strict=True)))
        for picks in itertools.product(*[range(len(c.costs)) for c in layers])
        if sum(c.costs[p] for c, p in zip(layers, picks, strict=True)) <= budget
    ]
    return min(totals, default=None)


@settings(max_examples=300, deadline=None)
@given(st.lists(layer, min_size=1, max_size=5), st.integers(0, 60))
def test_the_allocation_is_the_best_of_all_there_are(points, budget):
    layers = [Choices(*np.array(p, float).T) for p in points]
    best = _brute_force(layers, budget)
    if best is None:
        with pytest.raises(ValueError, match="`budget` must be at least"):
            solve(layers, budget)
        return
    found = solve(layers, budget)
    assert found.error == pytest.approx(best, abs=1e-9)
    assert found.optimal
    assert found.gap == 0
    assert found.cost <= budget
    assert found.cost == sum(c.costs[p] for c, p in zip(layers, found.picks, strict=True))


def test_where_states_are_cut_off_the_bound_still_holds():
    generator = np.random.default_rng(0)
    layers = [Choices(generator.integers(1, 99, 30).astype(float), generator.random(30)) for _ in range(12)]
    exact, cut = solve(layers, 300), solve(layers, 300, max_states=1)
    assert exact.optimal
    assert cut.bound <= exact.error <= cut.error
    assert 0 <= cut.gap < 1


def test_a_larger_budget_never_costs_error():
    generator = np.random.default_rng(1)
    layers = [Choices(generator.integers(1, 50, 20).astype(float), generator.random(20)) for _ in range(8)]
    errors = [solve(layers, budget).error for budget in range(100, 400, 20)]
    assert errors == sorted(errors, reverse=True)


def test_the_hull_lies_below_every_point():
    generator = np.random.default_rng(2)
    costs, errors = generator.random(50), generator.random(50)
    corners = hull(costs, errors)
    below = np.interp(costs, costs[corners], errors[corners])
    assert (errors >= below - 1e-12).all()
