"""Long work of the Network tab: samples, search, latency, saving, cancel, and what it raises."""

import threading
from dataclasses import replace

import pytest
import torch
from explorer.networks import linear_network
from explorer.whole_network import batches, plot, readout, take_error

import lrexplore as lr
from lrexplore.explorer.network import judge
from lrexplore.explorer.real_inputs import YOURS
from lrexplore.ranks import YOURS as YOUR_INPUTS


@pytest.fixture
def explorer(network_explorer):
    return network_explorer


def test_your_inputs_bring_their_initializers_and_are_named_everywhere(page):
    page.controls.inputs.value = YOURS
    assert page.wait(120)
    assert page.state.initializer == page.controls.initializer.value == "whitened"
    assert "your inputs (your loader), whitened" in page.panel.frame["title"]
    assert YOUR_INPUTS in readout(page, "error")["note"]
    assert YOUR_INPUTS in plot(page, "heat")["caption"]
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
    assert "on 100.0% of 6, 95 % interval 61.0% to 100.0% (Wilson" in page.panel.status
    assert page.state.ratio < 0.5


def test_the_number_of_judged_inputs_is_chosen_and_stands_beside_the_result(page):
    note = readout(page, "agreement")["note"]
    assert note.startswith("same first class on 6 inputs: your loader · 95 % interval ")
    assert note.endswith("(Wilson, as if the inputs were independent)")
    page.controls.num_judged.value = 64  # more than the loader has
    assert page.wait(60)
    assert (page.state.num_judged, readout(page, "agreement")["note"]) == (64, note)


def test_more_inputs_are_judged_in_the_background_and_what_is_known_stays_meanwhile(open_explorer, monkeypatch):
    inputs = torch.randn(160, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    page = open_explorer(loader=inputs.split(32)).page("Network")
    assert page.wait(120)
    assert "on 16 inputs" in readout(page, "agreement")["note"]
    reached, go_on = threading.Event(), threading.Event()
    ask = judge.ask

    def held_ask(model, batch):
        reached.set()
        assert go_on.wait(30)
        return ask(model, batch)

    monkeypatch.setattr(judge, "ask", held_ask)
    page.state.num_judged = 32
    assert reached.wait(30)
    assert "on 16 of 32 inputs" in readout(page, "agreement")["note"]
    assert plot(page, "samples")["images"][0]["mark"] in ("same", "changed")
    go_on.set()
    assert page.wait(60)
    assert "on 32 inputs" in readout(page, "agreement")["note"]
    assert "mean of 32 inputs" in readout(page, "divergence")["note"]


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
    network = lr.load(tmp_path / "small.safetensors", explorer.subject.model)
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
    assert page.state.inputs == "gaussian"


def test_the_plan_makes_the_factorized_network_of_the_library(explorer, page):
    plan = explorer.network_plan()
    made = lr.factorize(explorer.subject.model, plan=plan)
    x = torch.cat(batches())[:2]
    torch.testing.assert_close(page._allocation.network(page.state.wish, lambda *told: None)(x), made(x))


def test_a_wish_is_made_of_all_choices(page):
    page.state.pin("wide", 4)
    assert page.state.wish == replace(page.state.wish, ratio=0.5, pins=(("wide", 4),))


def test_a_closed_page_computes_no_more(explorer, page):
    explorer.close()
    assert page.panel.comm is None
    assert page.wait(30)
