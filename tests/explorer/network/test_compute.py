"""Plans, fronts and networks of the Network tab are those of the library."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from explorer.networks import small_network
from explorer.whole_network import batches, prepared, silent

import lrexplore as lr
from lrexplore.explorer.network.compute import FRONT_RATIOS, full_ranks, ratio_of
from lrexplore.explorer.network.state import Wish
from lrexplore.explorer.real_inputs import YOURS
from lrexplore.explorer.work.worker import Stopped
from lrexplore.network import factorized_flops, replace_layers
from lrexplore.ranks import YOURS as YOUR_INPUTS
from lrexplore.ranks.latency import LatencyCost


def multiply_adds(layer, rank, scheme):
    return layer.flops if rank == 0 else factorized_flops(layer, rank, scheme)


@pytest.fixture
def model():
    return small_network()


@pytest.mark.parametrize(
    "wish",
    [Wish(), Wish(ratio=0.7, method="energy"), Wish(budget="flop_ratio"), Wish(pins=(("head", None), ("wide", 3)))],
)
def test_a_plan_is_the_one_that_allocate_gives(model, wish):
    expected = lr.allocate(
        model, **{wish.budget: wish.ratio}, method=wish.method, initializer="function", pinned=dict(wish.pins)
    )
    assert prepared(model, wish).plan(wish, thorough=True) == expected


def test_nothing_is_ready_before_its_curves_and_a_wish_is_not_checked_then(model):
    allocation = prepared(model, Wish())
    assert allocation.ready(Wish(ratio=0.3, method="uniform"))
    impossible = Wish(scheme="spatial", ratio=0.001)
    assert not allocation.ready(impossible)
    allocation.check(impossible)
    with pytest.raises(ValueError, match="`parameter_ratio` must be at least"):
        allocation.check(Wish(ratio=0.001))


def test_the_smallest_ratio_is_reached_rounded_up(model):
    wish = Wish(pins=(("stem", None),))
    allocation = prepared(model, wish)
    smallest = allocation.smallest(wish)
    assert smallest - 1e-4 <= allocation.plan(replace(wish, ratio=smallest)).parameter_ratio <= smallest


def test_the_errors_on_the_map_are_those_of_the_curves(model):
    wish = Wish()
    allocation = prepared(model, wish)
    errors = allocation.errors(wish)
    curves = allocation._allocators[wish.curves].curves
    assert list(errors) == [name for name, _ in curves]
    np.testing.assert_array_equal(errors["wide"], [curves["wide", "channel"].error(rank) for rank in full_ranks(16)])
    assert full_ranks(16)[[0, -1]].tolist() == [1, 16]


def test_a_front_has_the_budgets_that_can_be_met_and_its_errors_fall(model):
    wish = Wish()
    allocation = prepared(model, wish)
    front = allocation.front(wish, "optimal", silent)
    reachable = [ratio for ratio in FRONT_RATIOS if ratio >= allocation.smallest(wish)]
    assert len(front.ratios) == len(reachable)
    assert (front.ratios <= np.array(reachable) + 1e-9).all()
    assert (np.diff(front.errors) <= 0).all()
    rival = allocation.front(wish, "uniform", silent)
    assert (front.errors <= rival.errors + 1e-9).all()


def test_the_network_has_the_ranks_of_its_plan_and_is_made_once(model):
    wish = Wish()
    allocation = prepared(model, wish)
    made = allocation.network(wish, silent)
    assert {layer.name: layer.rank for layer in made.factorization if layer.rank} == allocation.plan(wish).ranks
    assert allocation.network(wish, silent) is made
    twin = replace_layers(model, ranks=allocation.plan(wish).ranks, initializer="function")
    x = batches()[0]
    torch.testing.assert_close(made(x), twin(x))


def test_your_inputs_are_calibrated_on_and_said(model):
    wish = Wish(inputs=YOURS, initializer="whitened")
    told = []
    allocation = prepared(model, wish)
    assert allocation.plan(wish).inputs == YOUR_INPUTS
    allocation.network(wish, lambda *seen: told.append(seen))
    assert told[0][2].startswith("factorizing")


def test_what_progress_raises_stops_the_work(model):
    allocation = prepared(model, Wish())

    def stop(*told):
        raise Stopped

    with pytest.raises(Stopped):
        allocation.prepare(Wish(initializer="spectral"), stop)
    assert not allocation.ready(Wish(initializer="spectral"))


def test_latency_is_measured_for_its_plan_alone(model, monkeypatch):
    # Layers this small take as long at any rank: their multiply-adds stand in for the time.
    monkeypatch.setattr(LatencyCost, "__call__", lambda self, layer, rank, scheme: multiply_adds(layer, rank, scheme))
    wish = Wish(budget="latency_ratio", ratio=0.95)
    allocation = prepared(model, wish)
    plan = allocation.plan(wish)
    assert ratio_of(plan, "latency_ratio") <= 0.95
    assert allocation.latency_ratio(plan) is None
    allocation.measure(wish, silent)
    assert allocation.latency_ratio(plan) > 0
    assert allocation.latency_ratio(allocation.plan(Wish(ratio=0.3))) is None
