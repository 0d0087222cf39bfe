"""The Network tab without a kernel: `set_state` and custom messages are what the browser sends."""

from dataclasses import replace
from threading import Event, Thread

import pytest
from explorer.whole_network import plot, readout, receive, shares_on_screen, take_error
from traitlets import TraitError

import lrexplore as lr
from lrexplore.explorer.network.compute import full_ranks
from lrexplore.explorer.panel.arrays import unpack
from lrexplore.explorer.samples import PHOTOGRAPHS


@pytest.fixture
def explorer(network_explorer):
    return network_explorer


def test_the_plan_on_screen_is_the_one_handed_out_and_that_of_allocate(explorer, page):
    plan = explorer.network_plan()
    assert plan.ranks == lr.allocate(explorer.subject.model, parameter_ratio=0.5, initializer="function").ranks
    shares, states = shares_on_screen(page)
    layers = [layer for layer in plan.layers if layer.name in explorer.subject.names]
    for layer, share, state in zip(layers, shares, states, strict=True):
        full = explorer.subject.full_rank(layer.name, "channel")
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
    place = explorer.subject.names.index("wide")
    assert (shares[place], states[place]) == (pytest.approx(0.25), "pinned")


def test_a_click_on_a_bar_chooses_its_layer_and_shows_its_rank(explorer, page):
    receive(page, plot="ranks", index=1, x="wide", y=0.5)
    assert page.controls.layer.value == "wide"
    full = explorer.subject.full_rank("wide", "channel")
    assert page.controls.rank.value == explorer.network_plan().ranks.get("wide", full)
    assert page.state.pinned == {}


def test_controls_are_one_row_until_they_are_asked_for_or_a_bar_is_chosen(page):
    drawer = page.controls.drawer
    assert drawer.layout.display == "none"
    page.controls.more.value = True
    assert drawer.layout.display is None
    page.controls.more.value = False
    assert drawer.layout.display == "none"
    receive(page, plot="ranks", index=1, x="wide", y=0.5)
    assert page.controls.more.value and drawer.layout.display is None


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


@pytest.mark.parametrize(
    "pins", [{"nope": 2}, {"wide": 0}, {"wide": 17}, {"depthwise": 1}, {"wide": "x"}, {"wide": 2.5}, {3: 1, "wide": 2}]
)
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


def test_long_work_that_draws_while_a_budget_is_solved_does_not_take_the_slider_back(page, sent, monkeypatch):
    plan, drawn = page._allocation.plan, []

    def plan_while_another_thread_draws(wish, **options):
        if wish.ratio == 0.35 and not drawn:
            drawn.append(page.state.ratio)
            thread.start()  # it draws once the panel is free
        return plan(wish, **options)

    def draw():
        with page._lock:
            page._draw()

    thread = Thread(target=draw)
    monkeypatch.setattr(page._allocation, "plan", plan_while_another_thread_draws)
    page.panel.set_state({"value": 0.35})
    thread.join(60)
    assert drawn == [0.5]
    assert [message.state["value"] for message in sent.to(page.panel) if "value" in message.names] == []
    assert (sent.last(page.panel, "value"), sent.last(page.panel, "patch")["value"], page.state.ratio) == (0.35,) * 3
    page.panel.set_state({"value": 0.3})
    assert page.panel.patch["value"] == page.state.ratio == 0.3


def test_a_budget_that_comes_while_long_work_draws_is_not_lost(page, sent, monkeypatch):
    waiting, show = Event(), page._board.show

    class TellingLock:
        def __enter__(self):
            if not page_lock.acquire(blocking=False):
                waiting.set()
                page_lock.acquire()

        def __exit__(self, *raised):
            page_lock.release()

    def show_once_a_key_waits(wish):
        if not waiting.is_set():
            thread.start()
            assert waiting.wait(30)
        show(wish)

    page_lock = page._lock
    thread = Thread(target=page.panel.set_state, args=({"value": 0.35},))
    for owner in (page, page._slider):
        monkeypatch.setattr(owner, "_lock", TellingLock())
    page.panel.share(TellingLock())
    monkeypatch.setattr(page._board, "show", show_once_a_key_waits)
    with page._lock:
        page._draw()
    thread.join(30)
    assert (sent.last(page.panel, "value"), sent.last(page.panel, "patch")["value"], page.state.ratio) == (0.35,) * 3


def test_a_budget_that_is_rounded_to_the_one_on_screen_goes_back_to_it(page, sent):
    page.panel.set_state({"value": 0.50001})
    assert sent.last(page.panel, "value") == page.panel.value == page.state.ratio == 0.5


def test_another_choice_leaves_a_slider_alone_that_has_just_been_moved(page, sent):
    with page.panel.hold_trait_notifications():
        page.panel.value = 0.35
        page.state.method = "uniform"
        assert page.panel.value == 0.35
    assert page.state.ratio == 0.35


def test_pins_are_a_copy_that_nobody_changes(page):
    mine = {"wide": 4}
    page.state.pinned = mine
    mine["wide"] = 99
    assert page.state.pinned == {"wide": 4}
    with pytest.raises(TypeError):
        page.state.pinned["wide"] = 99
    with pytest.raises(TraitError, match="`pinned` must hold whole numbers or None for as it is, got 'x' for 'wide'"):
        page.state.pin("wide", "x")
    assert page.state.pinned == {"wide": 4}


def test_a_wish_is_taken_as_one_or_not_at_all(page):
    before = page.state.wish
    wish = replace(before, inputs="gaussian", initializer="spectral", ratio=0.7, pins=(("wide", 4),))
    page.state.take(wish)
    assert page.state.wish == wish
    assert page.wait(60)
    with pytest.raises(TraitError):
        page.state.take(replace(before, initializer="spectral", ratio=0.01))
    assert page.state.wish == wish


def test_four_threads_may_set_the_state_at_once(page):
    errors = []

    def set_again_and_again(name):
        try:
            for turn in range(5):
                page.state.pin(name, 1 + turn % 3)
                page.state.ratio = 0.6 + turn / 20
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=set_again_and_again, args=(name,)) for name in ("stem", "wide", "point", "head")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert set(page.state.pinned) == {"stem", "wide", "point", "head"}


def test_a_plan_that_loses_nothing_does_not_stretch_the_axis_of_the_front(page):
    page.state.ratio = 1.0
    assert page.wait(60)
    *fronts, star = plot(page, "front")["data"]
    assert readout(page, "error")["value"] == 0
    assert unpack(star["y"]) == pytest.approx(1e-3)
    assert min(unpack(front["y"]).min() for front in fronts if len(unpack(front["y"]))) >= 1e-3 * (1 - 1e-6)
    assert "Less than 0.001 is drawn as 0.001" in plot(page, "front")["caption"]


def test_without_a_loader_inputs_are_named_for_what_they_are_and_described_once(open_explorer):
    pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")
    page = open_explorer().page("Network")
    page.controls.inputs.value = "yours"
    assert page.wait(300)
    frame = page.panel.frame
    said = [frame["title"], *(part.get("title", "") for part in frame["plots"])]
    said += [part["caption"] for part in frame["plots"]] + [part.get("note", "") for part in frame["readouts"]]
    assert sum(PHOTOGRAPHS in text for text in said) == 1
    assert not any("your" in text for text in said)
    assert "sample photographs, whitened" in frame["title"]


def test_an_error_between_two_ranks_that_were_computed_is_said_to_be_about_right(explorer, page):
    curves = lr.ranks.layer_curves(
        explorer.subject.model, explorer.subject.layers.values(), initializer="function", use_cache=True
    )
    heat = plot(page, "heat")["data"][0]
    for column, name in enumerate(explorer.subject.names):
        curve = curves[name, "channel"]
        known = {int(rank) for rank in curve.measured}
        ranks = full_ranks(len(curve.errors))
        assert [row[column] != "" for row in heat["text"]] == [int(rank) not in known for rank in ranks]
    plan = explorer.network_plan()
    about = {
        layer.name: layer.rank not in curves[layer.name, "channel"].measured for layer in plan.layers if layer.rank
    }
    words = dict(zip(explorer.subject.names, plot(page, "ranks")["data"][0]["hovertext"], strict=True))
    assert {name: "function error ≈" in words[name] for name in about} == about
    assert readout(page, "error")["near"] == any(about.values())
    page.state.ratio = 1.0
    assert not readout(page, "error")["near"], "all layers are as they were"
