"""The measured time of a layer, as numbers and as a plot."""

import numpy as np
import pytest
from explorer.networks import GROUPED, HEAD, STEM, WIDE, small_network
from torch import nn

from lrexplore.explorer.layer import times as layer_times
from lrexplore.explorer.layer.figures import time_plot
from lrexplore.explorer.layer.times import LayerTime, LayerTimes
from lrexplore.network import find_layers


def layers_of(model):
    return {layer.name: layer for layer in find_layers(model)}


def known_time(ms, original_ms=2.0):
    return LayerTime(np.array([1, 5, 9]), np.array(ms), original_ms, "8 inputs at once, float32, 1 CPU thread")


def test_times_between_measured_ranks_lie_on_a_straight_line():
    np.testing.assert_allclose(known_time([1.0, 2.0, 4.0]).ratios(9), np.array([4, 5, 6, 7, 8, 10, 12, 14, 16]) / 8)


@pytest.mark.parametrize(
    ("ms", "largest", "words"),
    [([1.0, 2.0, 4.0], 4, "up to rank 4"), ([2.5, 1.0, 1.0], 0, "Slower at rank 1 already"), ([0.1] * 3, 9, "rank 9")],
)
def test_the_last_rank_that_is_faster_is_said(ms, largest, words):
    time = known_time(ms)
    assert time.largest_faster(9) == largest
    assert words in time_plot(time, 0.1, 9)["caption"]


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
@pytest.mark.parametrize("name", [STEM, WIDE, GROUPED, HEAD])
def test_every_kind_of_layer_is_measured_up_to_its_full_rank(name, scheme):
    model = small_network()
    layer, times = layers_of(model)[name], LayerTimes(model)
    assert times.known(layer, scheme) is None
    assert times.measure(layer, scheme, lambda: False)
    found = times.known(layer, scheme)
    assert found.ranks[0] == 1 and found.ranks[-1] == min(layer.matrix_shape(scheme))
    assert (found.ms > 0).all() and found.original_ms > 0
    assert not times.measure(layer, scheme, lambda: False)


def test_layers_of_one_kind_and_size_are_measured_once():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 8, bias=False))
    layers, times = layers_of(model), LayerTimes(model)
    assert times.measure(layers["0"], "channel", lambda: False)
    assert times.known(layers["2"], "channel") is times.known(layers["0"], "channel")
    assert not times.measure(layers["2"], "channel", lambda: False)


def test_a_measurement_that_was_stopped_leaves_nothing_behind():
    model = small_network()
    layer, times = layers_of(model)[WIDE], LayerTimes(model)
    looks = iter([False, True])
    assert not times.measure(layer, "channel", lambda: next(looks))
    assert times.known(layer, "channel") is None


def test_a_layer_of_unknown_size_is_not_measured(monkeypatch):
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x):
            raise RuntimeError("not today")

    model = Picky()
    monkeypatch.setattr(layer_times, "layer_latencies", None)
    assert not LayerTimes(model).measure(layers_of(model)["inner"], "channel", lambda: False)


def test_the_plot_has_what_was_measured_the_layer_as_it_is_and_what_multiply_adds_promise():
    measured, original, promised = time_plot(known_time([1.0, 2.0, 4.0]), 0.25, 9)["data"]
    np.testing.assert_array_equal(measured["x"], [1, 5, 9])
    np.testing.assert_array_equal(measured["y"], [1, 2, 4])
    np.testing.assert_array_equal(original["y"], [2, 2])
    np.testing.assert_array_equal(promised["x"], [0, 9])
    np.testing.assert_allclose(promised["y"], [0, 0.25 * 9 * 2])


def test_nothing_is_drawn_or_claimed_before_it_is_measured():
    plot = time_plot(None, 0.25, 9)
    assert all(len(trace["x"]) == len(trace["y"]) == 0 for trace in plot["data"])
    assert "up to rank" not in plot["caption"]
    assert len(time_plot(known_time([1.0, 2.0, 4.0]), None, 9)["data"][2]["x"]) == 0
