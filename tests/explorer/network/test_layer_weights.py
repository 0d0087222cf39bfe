"""Layers of the Network tab weighed by how far each moves the network's output."""

import threading

import numpy as np
import pytest
from explorer.networks import linear_network, small_network
from explorer.whole_network import plot, readout, take_error

import lrexplore as lr
from lrexplore.explorer.network.controls import MEANINGS
from lrexplore.explorer.network.readouts import measured_text
from lrexplore.explorer.panel.arrays import unpack
from lrexplore.explorer.work.threads import spare_cores
from lrexplore.network import find_layers
from lrexplore.ranks import PLAIN, SENSITIVITY, layer_curves, sensitivities, sensitivity
from lrexplore.ranks.allocate import Allocator


@pytest.fixture
def weighed(page):
    """The open page with its layers weighed."""
    page.controls.weights.value = SENSITIVITY
    assert page.wait(120)
    return page


def test_the_plan_is_that_of_the_librarys_sensitivities(weighed):
    model, samples = small_network(), weighed._allocation.samples
    layers = find_layers(model)
    curves = layer_curves(model, layers, initializer="function")
    with spare_cores():  # as the tab does: another number of threads rounds otherwise
        weights = sensitivities(model, layers, curves, samples.fit[:2], initializer="function", use_cache=False)
    expected = lr.allocate(model, parameter_ratio=0.5, initializer="function", weights=weights)
    plan = weighed.plan()
    assert plan.ranks == expected.ranks
    assert plan.error == pytest.approx(expected.error, rel=1e-5)
    found = {layer.name: layer.weight for layer in plan.layers if layer.name in weights}
    assert weights == pytest.approx(found, rel=1e-4)  # differences of nearly equal logarithms


def test_what_is_on_screen_says_what_layers_count_and_on_what_that_was_measured(weighed):
    assert weighed.panel.frame["title"].endswith("channel, layers weighed by sensitivity")
    assert "each × its sensitivity on 16 inputs" in readout(weighed, "error")["note"]
    assert "× sensitivity" in plot(weighed, "ranks")["data"][0]["hovertext"][0]
    assert "times how far it moves" in plot(weighed, "front")["caption"]
    assert MEANINGS[SENSITIVITY] in weighed.controls.meaning.value
    weighed.controls.weights.value = PLAIN
    assert MEANINGS[PLAIN] in weighed.controls.meaning.value
    assert weighed.panel.frame["title"].endswith("function, channel")
    assert "sensitivity" not in readout(weighed, "error")["note"]


def test_a_saved_plan_records_what_its_layers_counted(weighed, tmp_path):
    weighed.controls.path.value = str(tmp_path / "small")
    weighed.controls.buttons["save"].click()
    assert weighed.wait(60)
    plan = lr.RankPlan.load(tmp_path / "small.json")
    assert plan.weights == SENSITIVITY
    assert len({layer.weight for layer in plan.layers}) > 2


def test_sensitivities_are_measured_once_whatever_else_is_chosen(weighed, monkeypatch):
    monkeypatch.setattr(Allocator, "weighed", None)
    weighed.state.weights = PLAIN
    weighed.state.ratio = 0.4
    weighed.state.weights = SENSITIVITY
    assert weighed.wait(60)
    assert weighed.plan().weights == SENSITIVITY


def test_a_measurement_can_be_cancelled_and_plain_weights_come_back(page, monkeypatch, tmp_path):
    monkeypatch.setenv("LREXPLORE_CACHE", str(tmp_path))
    reached, go_on, movement = threading.Event(), threading.Event(), sensitivity._moved

    def held_movement(*answers):
        reached.set()
        assert go_on.wait(60)
        return movement(*answers)

    monkeypatch.setattr(sensitivity, "_moved", held_movement)
    page.state.weights = SENSITIVITY
    assert page.panel.frame["waiting"]
    assert reached.wait(60)
    assert page.panel.status.startswith("sensitivity of stem: 0 of 5")
    page.panel._handle_custom_msg({"type": "cancel"}, [])
    go_on.set()
    assert page.wait(60)
    assert (page.state.weights, page.controls.weights.value) == (PLAIN, PLAIN)
    assert not page.panel.frame["waiting"]


def test_a_network_without_samples_keeps_plain_weights_and_says_why(open_explorer):
    page = open_explorer(linear_network()).page("Network")
    assert page.wait(120)
    page.controls.weights.value = SENSITIVITY
    assert page.wait(60)
    assert "`loader` must be given" in take_error(page)
    assert (page.state.weights, page.controls.weights.value) == (PLAIN, PLAIN)


def test_what_was_measured_stands_beside_what_was_predicted(weighed):
    weighed.state.ratio = 0.4
    assert weighed.wait(60)
    front = plot(weighed, "front")
    measured = front["data"][-1]
    assert measured["name"] == "measured"
    rows = {}
    for ratio in (0.4, 0.5):
        weighed.state.ratio = ratio
        assert weighed.wait(60)
        plan = weighed.plan()
        verdict = weighed._judge.known(plan)
        rows[round(plan.parameter_ratio, 5)] = (plan.error, verdict.divergence)
    measured = plot(weighed, "front")["data"][-1]
    found = zip(*(unpack(measured[name]).tolist() for name in ("x", "customdata", "y")), strict=True)
    assert {round(x, 5): pytest.approx((predicted, y), rel=1e-5) for x, predicted, y in found} == {
        ratio: (predicted, max(divergence, 1e-3)) for ratio, (predicted, divergence) in rows.items()
    }
    assert "2 plans were measured, on 6 inputs: " in plot(weighed, "front")["caption"]
    weighed.state.weights = PLAIN
    assert weighed.wait(60)
    assert "measured" not in plot(weighed, "front")["caption"]
    assert plot(weighed, "front")["data"][-1]["name"] == "plan on screen"


@pytest.mark.parametrize(
    ("predicted", "measured", "words"),
    [
        ([], [], "None was measured yet."),
        ([0.2], [0.5], "1 plan was measured, on 16 inputs: 2.5 × what was predicted."),
        ([1e-5, 2e-6], [1e-4, 1e-9], "2 plans were measured, on 16 inputs: below 0.001 nats, as predicted."),
        ([0.5, 0.5, 1e-6], [1.0, 0.25, 1e-6], "3 plans were measured, on 16 inputs: 1 × what was predicted in the "
         "geometric mean, off by a factor of 2 a plan, 2 at most."),
        ([0.0, 0.1], [0.004, 0.1], "2 plans were measured, on 16 inputs: 2 × what was predicted in the geometric mean, "
         "off by a factor of 2 a plan, 4 at most."),
    ],
)  # fmt: skip
def test_how_far_predictions_were_off_is_said_of_plans_that_tell(predicted, measured, words):
    assert measured_text(np.array(predicted), np.array(measured), 16) == words
