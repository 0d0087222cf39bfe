"""The Network tab without a kernel: `set_state` and custom messages are what the browser sends."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from explorer.networks import linear_network
from explorer.whole_network import batches
from traitlets import TraitError

import lrexplore as lr
from lrexplore.explorer.arrays import unpack
from lrexplore.explorer.network_figures import STATES
from lrexplore.ranks import YOURS


@pytest.fixture
def explorer(sent, open_explorer):
    """The small network's explorer with the Network tab open and complete; what it sent so far is forgotten."""
    explorer = open_explorer(loader=batches())
    explorer.state.tab = "Network"
    assert explorer.page("Network").wait(120)
    sent.clear()
    return explorer


@pytest.fixture
def page(explorer):
    """The open page; its error area is empty at the end, unless a test read and emptied it."""
    opened = explorer.page("Network")
    yield opened
    opened.wait(60)
    assert opened.panel.error == ""


def plot(page, plot_id):
    return next(plot for plot in page.panel.frame["plots"] if plot["id"] == plot_id)


def readout(page, name):
    return next(readout for readout in page.panel.frame["readouts"] if readout["id"] == name)


def shares_on_screen(page):
    """Height of every bar, whichever of the traces shows it, and the name of that trace."""
    heights = np.stack([unpack(trace["y"]) for trace in plot(page, "ranks")["data"]])
    return heights.max(0), [STATES[place][0] for place in heights.argmax(0)]


def receive(page, **content):
    page.panel._handle_custom_msg({"type": "point", "trace": 0, "step": None, **content}, [])


def take_error(page):
    message, page.panel.error = page.panel.error, ""
    return message


def test_the_plan_on_screen_is_the_one_handed_out_and_that_of_allocate(explorer, page):
    plan = explorer.network_plan()
    assert plan.ranks == lr.allocate(explorer.network.model, parameter_ratio=0.5, initializer="function").ranks
    shares, states = shares_on_screen(page)
    layers = [layer for layer in plan.layers if layer.name in explorer.network.names]
    for layer, share, state in zip(layers, shares, states, strict=True):
        full = explorer.network.full_rank(layer.name, "channel")
        assert share == pytest.approx(1.0 if layer.rank is None else layer.rank / full)
        assert state == ("left as it is" if layer.rank is None else "factorized")
    assert readout(page, "error")["value"] == plan.error
    assert readout(page, "parameters")["value"] == plan.parameter_ratio


def test_the_slider_is_answered_by_one_patch_and_no_frame(page, sent):
    page.panel.set_state({"value": 0.35})
    assert page.state.ratio == 0.35
    messages = sent.to(page.panel)
    assert [message.names for message in messages if "frame" in message.names] == []
    assert len([message for message in messages if "patch" in message.names]) == 1
    assert page.panel.patch["value"] == 0.35
    assert readout(page, "parameters")["value"] <= 0.35


def test_a_budget_set_in_a_cell_moves_the_slider(page):
    page.state.ratio = 0.8
    assert page.panel.value == 0.8


def test_a_budget_that_no_plan_meets_is_refused_with_the_smallest_and_nothing_moves(page, sent):
    before = page.state.trait_values(), page.panel.frame["readouts"][0]["value"]
    with pytest.raises(TraitError, match=r"`parameter_ratio` must be at least 0\.\d+"):
        page.state.ratio = 0.01
    page.panel.set_state({"value": 0.01})
    assert "must be at least" in take_error(page)
    assert (page.state.trait_values(), page.panel.frame["readouts"][0]["value"]) == before
    assert page.panel.value == page.state.ratio == 0.5


def test_a_dragged_bar_is_pinned_and_the_rest_keeps_the_budget(explorer, page):
    receive(page, plot="ranks", index=1, x="wide", y=0.25, step=4)
    assert page.state.pinned == {"wide": 4}
    assert page.state.layer == "wide"
    plan = explorer.network_plan()
    assert plan.ranks["wide"] == 4
    assert plan.parameter_ratio <= 0.5
    shares, states = shares_on_screen(page)
    place = explorer.network.names.index("wide")
    assert (shares[place], states[place]) == (pytest.approx(0.25), "pinned")


def test_a_click_on_a_bar_chooses_its_layer_and_shows_its_rank(explorer, page):
    receive(page, plot="ranks", index=1, x="wide", y=0.5)
    assert page.controls.layer.value == "wide"
    full = explorer.network.full_rank("wide", "channel")
    assert page.controls.rank.value == explorer.network_plan().ranks.get("wide", full)
    assert page.state.pinned == {}


def test_a_click_on_the_map_pins_the_layer_there(page):
    receive(page, plot="heat", index=[19, 1], x="wide", y=0.5)
    assert page.state.pinned == {"wide": 8}


def test_a_click_on_a_front_takes_its_method_and_budget(page):
    at = plot(page, "front")["data"][1]
    x = float(unpack(at["x"])[2])
    receive(page, plot="front", trace=1, index=2, x=x, y=1.0)
    assert page.state.method == "uniform"
    assert page.state.ratio == pytest.approx(x, abs=2e-4)


def test_typed_ranks_pins_and_unpins_by_button(explorer, page):
    page.controls.layer.value = "wide"
    page.controls.rank.value = 3
    page.controls.buttons["pin"].click()
    assert page.state.pinned == {"wide": 3}
    page.controls.layer.value = "stem"
    page.controls.buttons["keep"].click()
    assert page.state.pinned == {"wide": 3, "stem": None}
    assert "stem" not in explorer.network_plan().ranks
    page.controls.buttons["unpin"].click()
    assert page.state.pinned == {"wide": 3}
    page.controls.buttons["unpin_all"].click()
    assert page.state.pinned == {}


@pytest.mark.parametrize("pins", [{"nope": 2}, {"wide": 0}, {"wide": 17}, {"depthwise": 1}])
def test_pins_that_cannot_be_are_refused_and_nothing_moves(page, pins):
    with pytest.raises(TraitError, match="`pinned` must"):
        page.state.pinned = pins
    assert page.state.pinned == {}


def test_pins_that_break_the_budget_are_refused_and_nothing_moves(page):
    page.state.ratio = 0.25
    receive(page, plot="ranks", index=1, x="wide", y=1.0, step=16)
    assert "with these pins" in take_error(page)
    assert page.state.pinned == {}


def test_a_picker_whose_choice_is_refused_goes_back(page):
    page.state.ratio = smallest = page.panel.frame["slider"]["min"]
    page.controls.budget.value = "flop_ratio"
    if page.state.budget == "parameter_ratio":
        assert "`flop_ratio` must be at least" in take_error(page)
    assert page.controls.budget.value == page.state.budget
    assert page.state.ratio == smallest


def test_every_choice_of_method_and_scheme_is_drawn(page):
    page.state.method = "energy"
    assert page.panel.frame["readouts"][0]["note"].endswith("Gaussian inputs")
    page.controls.scheme.value = "best"
    assert page.wait(120)
    assert page.panel.frame["title"].endswith("function, best")


def test_your_inputs_bring_their_initializers_and_are_named_everywhere(page):
    page.controls.inputs.value = YOURS
    assert page.wait(120)
    assert page.state.initializer == page.controls.initializer.value == "whitened"
    assert "your inputs (your loader), whitened" in page.panel.frame["title"]
    assert YOURS in readout(page, "error")["note"]
    assert YOURS in plot(page, "heat")["caption"]
    assert readout(page, "agreement")["value"] is not None


def test_samples_are_judged_in_the_background_and_their_words_follow_the_plan(page):
    page.state.ratio = 0.3
    assert readout(page, "agreement")["value"] is None
    assert plot(page, "samples")["images"][0]["notes"][1] == "after: …"
    assert page.wait(60)
    assert 0 <= readout(page, "agreement")["value"] <= 1
    images = plot(page, "samples")["images"]
    assert {image["mark"] for image in images} <= {"same", "changed"}
    assert all(image["notes"][0].startswith("before: class ") for image in images)


def test_the_search_sets_the_smallest_budget_that_agrees(page):
    page.controls.agreement.value = 100
    page.controls.buttons["search"].click()
    assert page.wait(120)
    assert readout(page, "agreement")["value"] == 1
    assert "is the smallest budget found" in page.panel.status
    assert page.state.ratio < 0.5


def test_latency_is_measured_on_demand_and_forgotten_with_the_plan(page):
    assert readout(page, "latency")["value"] is None
    page.controls.buttons["measure"].click()
    assert page.wait(60)
    assert readout(page, "latency")["value"] > 0
    page.state.ratio = 0.3
    assert readout(page, "latency")["value"] is None


def test_plan_and_network_are_saved_once_and_not_written_over(explorer, page, tmp_path):
    page.controls.path.value = str(tmp_path / "small")
    page.controls.buttons["save"].click()
    assert page.wait(60)
    assert f"Wrote {tmp_path}/small.safetensors" in page.panel.status
    assert lr.RankPlan.load(tmp_path / "small.json") == explorer.network_plan()
    network = lr.load(tmp_path / "small.safetensors", explorer.network.model)
    assert network.rank_plan == explorer.network_plan()
    before = (tmp_path / "small.safetensors").read_bytes()
    page.state.ratio = 0.3
    page.controls.buttons["save"].click()
    assert "exist" in take_error(page)
    assert page.wait(60)
    assert (tmp_path / "small.safetensors").read_bytes() == before


def test_a_layer_is_seen_in_its_own_tab_at_its_rank_here(explorer, page):
    page.state.pin("wide", 4)
    page.state.layer = "wide"
    page.controls.buttons["see"].click()
    assert (explorer.state.tab, explorer.state.layer, explorer.state.rank) == ("Layer", "wide", 4)


def test_cancel_leaves_what_is_on_screen_until_another_choice(page, monkeypatch):
    reached, go_on = threading.Event(), threading.Event()
    network = page._allocation.network

    def slow(wish, progress):
        reached.set()
        assert go_on.wait(30)
        progress(0, 1, "factorizing")
        return network(wish, progress)

    monkeypatch.setattr(page._allocation, "network", slow)
    page.state.ratio = 0.42
    assert reached.wait(30)
    page.panel._handle_custom_msg({"type": "cancel"}, [])
    go_on.set()
    assert page.wait(30)
    assert "cancelled" in page.panel.status
    assert (page.panel.busy, readout(page, "agreement")["value"]) == (False, None)
    page.state.ratio = 0.43
    assert page.wait(30)
    assert readout(page, "agreement")["value"] is not None


def test_what_background_work_raises_is_shown_and_the_choice_before_comes_back(page, monkeypatch):
    def fail(wish, progress):
        raise ValueError("`curves` must be finite, got NaN. Look at the weights.")

    with monkeypatch.context() as patched:
        patched.setattr(page._allocation, "prepare", fail)
        page.state.scheme = "spatial"
        assert page.wait(60)
    assert take_error(page) == "`curves` must be finite, got NaN. Look at the weights."
    assert (page.state.scheme, page.controls.scheme.value) == ("channel", "channel")
    page.state.ratio = 0.6
    assert readout(page, "parameters")["value"] <= 0.6


def test_a_network_that_takes_no_photographs_has_plans_and_says_why_no_samples(open_explorer):
    explorer = open_explorer(linear_network())
    page = explorer.page("Network")
    assert page.wait(120)
    assert "`loader` must be given" in readout(page, "agreement")["note"]
    assert (page.panel.error, readout(page, "agreement")["value"]) == ("", None)
    assert explorer.network_plan().parameter_ratio <= 0.5
    page.state.inputs = YOURS
    assert page.wait(60)
    assert "`loader` must be given" in take_error(page)
    assert page.state.inputs == "Gaussian inputs"


def test_the_plan_makes_the_factorized_network_of_the_library(explorer, page):
    plan = explorer.network_plan()
    made = lr.factorize(explorer.network.model, plan=plan)
    x = torch.cat(batches())[:2]
    torch.testing.assert_close(page._allocation.network(page.state.wish, lambda *told: None)(x), made(x))


def test_a_wish_is_made_of_all_choices(page):
    page.state.pin("wide", 4)
    assert page.state.wish == replace(page.state.wish, ratio=0.5, pins=(("wide", 4),))


def test_a_closed_page_computes_no_more(explorer, page):
    explorer.close()
    assert page.panel.comm is None
    assert page.wait(30)
