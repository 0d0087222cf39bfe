"""The floor is below every initializer at every rank, and holds for the ranks between those it was computed at."""

import numpy as np
import pytest
import torch

import lrexplore as lr
from lrexplore.explorer.layer.floor import FLOOR_RANKS, Floor
from lrexplore.init import Problem


@pytest.fixture(scope="module")
def filled():
    """A 24 x 40 weight with its floor filled at all its ranks."""
    weight = torch.randn(24, 40, generator=torch.Generator().manual_seed(0))
    floor = Floor(Problem.of(weight, "channel", "relu", None))
    shares = list(floor.fill(5, lambda: False))
    return weight, floor, shares


def test_filling_tells_shares_that_end_at_one(filled):
    _, _, shares = filled
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_floor_is_below_every_initializer_at_every_rank(filled):
    weight, floor, _ = filled
    bounds = floor.at_every_rank()
    for initializer in ("spectral", "rescaled", "function"):
        curve = lr.error_curve(weight, initializer=initializer, ranks=range(1, 25))
        assert (bounds <= curve.function_error.to_numpy() + 1e-9).all(), initializer


def test_the_floor_never_rises_with_rank_and_is_zero_at_full_rank(filled):
    _, floor, _ = filled
    bounds = floor.at_every_rank()
    assert (np.diff(bounds) <= 0).all()
    assert bounds[-1] == 0
    assert bounds[0] > 0.5


def test_the_rank_asked_for_first_is_known_after_one_step():
    floor = Floor(Problem.of(torch.randn(24, 40), "channel", "relu", None))
    next(floor.fill(7, lambda: False))
    assert floor.is_exact()[6]


def test_a_stopped_floor_adds_nothing():
    floor = Floor(Problem.of(torch.randn(24, 40), "channel", "relu", None))
    assert list(floor.fill(7, lambda: True)) == []
    assert floor.points()[0].tolist() == [24]


def test_a_large_layer_gets_few_ranks():
    floor = Floor(Problem.of(torch.randn(40, 30), "channel", "relu", None))
    list(floor.fill(1, lambda: False))
    assert len(floor.points()[0]) == FLOOR_RANKS
