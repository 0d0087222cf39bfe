"""The Network tab before all curves are there: the map fills, what needs a plan waits, cancel and resume."""

import threading
from copy import deepcopy
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from explorer.whole_network import batches, plot, silent, take_error

from lrexplore.explorer.network import judge, long_work
from lrexplore.explorer.network.frame import Board
from lrexplore.explorer.panel.arrays import unpack

HELD = "grouped"
curves = import_module("lrexplore.ranks.network_curves")


@pytest.fixture
def held(monkeypatch, tmp_path):
    """Events of the curve of the layer `HELD`, which is on no disk: when it begins, and when it may."""
    reached, go_on, curve = threading.Event(), threading.Event(), curves._curve

    def held_curve(model, layer, *rest):
        if layer.name == HELD:
            reached.set()
            assert go_on.wait(60)
        return curve(model, layer, *rest)

    monkeypatch.setenv("LREXPLORE_CACHE", str(tmp_path))
    monkeypatch.setattr(curves, "_curve", held_curve)
    monkeypatch.setattr(long_work, "CURVES_S", 0)
    yield SimpleNamespace(reached=reached, go_on=go_on)
    go_on.set()


@pytest.fixture
def opened(held, open_explorer):
    """The tab as it is while the curve of `HELD` is computed."""
    explorer = open_explorer(loader=batches())
    explorer.state.tab = "Network"
    assert held.reached.wait(60)
    page = explorer.page("Network")
    yield page
    held.go_on.set()
    assert page.wait(120)
    assert page.panel.error == ""


def cancel(page):
    page.panel._handle_custom_msg({"type": "cancel"}, [])


def known_columns(frame):
    z = unpack(next(plot for plot in frame["plots"] if plot["id"] == "heat")["data"][0]["z"])
    return np.isfinite(z).all(0)


def test_columns_appear_as_layers_finish_and_are_marked_as_partial(held, open_explorer, monkeypatch):
    seen, show = [], Board.show_curves

    def show_and_look(board, wish):
        show(board, wish)
        seen.append(deepcopy(board.panel.frame))

    monkeypatch.setattr(Board, "show_curves", show_and_look)
    held.go_on.set()
    explorer = open_explorer(loader=batches())
    explorer.state.tab = "Network"
    page = explorer.page("Network")
    assert page.wait(120)
    names = explorer.subject.names
    assert [known_columns(frame).tolist() for frame in seen] == [
        [place < known for place in range(len(names))] for known in range(1, len(names) + 1)
    ]
    assert {frame["key"] for frame in seen} == {seen[0]["key"]}
    assert f"partial: 2 of {len(names)} layers so far · Gaussian inputs, function, channel" in seen[1]["title"]
    assert "2 of" in seen[1]["plots"][0]["title"]
    assert seen[1]["plots"][0]["caption"].startswith("Partial: ")
    assert known_columns(page.panel.frame).all()
    assert "partial" not in page.panel.frame["title"]
    np.testing.assert_array_equal(
        unpack(plot(page, "heat")["data"][0]["customdata"]), unpack(seen[-1]["plots"][0]["data"][0]["customdata"])
    )


def test_what_needs_all_curves_is_not_to_be_had_before(opened, held):
    names = {name for name, button in opened.controls.buttons.items() if not button.disabled}
    assert (names, opened.controls.rank.disabled) == (set(), True)
    assert [plot["id"] for plot in opened.panel.frame["plots"]] == ["heat"]
    assert not opened.panel.frame["plots"][0]["clicks"]
    assert "slider" not in opened.panel.frame
    held.go_on.set()
    assert opened.wait(120)
    names = {name for name, button in opened.controls.buttons.items() if button.disabled}
    assert (names, opened.controls.rank.disabled) == ({"resume"}, False)
    assert "slider" in opened.panel.frame


def test_a_cancelled_map_stays_partial_until_it_is_resumed(opened, held):
    cancel(opened)
    held.go_on.set()
    assert opened.wait(60)
    assert "cancelled" in opened.panel.status
    assert known_columns(opened.panel.frame).tolist() == [True, True, False, False, False]
    resume = opened.controls.buttons["resume"]
    assert (resume.disabled, resume.layout.display, resume.description) == (False, None, "go on")
    assert opened.controls.buttons["pin"].disabled
    opened.controls.buttons["resume"].click()
    assert opened.wait(120)
    assert known_columns(opened.panel.frame).all()
    assert (resume.disabled, resume.layout.display) == (True, "none")
    assert "slider" in opened.panel.frame


def test_a_cancelled_choice_goes_back_to_the_one_before(opened, held):
    held.go_on.set()
    assert opened.wait(120)
    held.reached.clear()
    held.go_on.clear()
    opened.controls.scheme.value = "spatial"
    assert held.reached.wait(60)
    assert opened.panel.frame["title"].endswith("function, spatial")
    assert opened.controls.buttons["pin"].disabled
    cancel(opened)
    held.go_on.set()
    assert opened.wait(60)
    assert (opened.state.scheme, opened.controls.scheme.value) == ("channel", "channel")
    assert opened.panel.frame["title"].endswith("function, channel")
    assert "back to what was computed before" in opened.panel.status
    assert not opened.controls.buttons["pin"].disabled


def test_plots_of_another_choice_are_dimmed_at_once_and_a_drag_in_them_does_nothing(opened, held, monkeypatch):
    held.go_on.set()
    assert opened.wait(120)
    assert not opened.panel.frame.get("waiting")
    monkeypatch.setattr(long_work, "CURVES_S", 1e9)
    held.reached.clear()
    held.go_on.clear()
    opened.state.scheme = "spatial"
    assert opened.panel.frame["waiting"]
    assert held.reached.wait(60)
    opened.panel._handle_custom_msg(
        {"type": "point", "plot": "ranks", "trace": 0, "index": 1, "x": "wide", "y": 0.25, "step": 4}, []
    )
    assert (opened.state.pinned, take_error(opened)) == ({}, "")
    held.go_on.set()
    assert opened.wait(120)
    assert not opened.panel.frame.get("waiting")


def test_curves_are_drawn_four_times_a_second_at_most(page, monkeypatch):
    now, found, drawn = [0.0], {}, []
    monkeypatch.setattr(long_work, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(page._allocation, "errors", lambda wish: found)
    monkeypatch.setattr(page._board, "show_curves", lambda wish: drawn.append(now[0]))
    progress = page._work._drawing_curves(page.state.wish, silent)
    for number in range(100):
        now[0] += 0.03
        found[number] = None
        progress(number, 100, "curves")
    assert np.diff([0.0, *drawn]).min() >= 0.25
    assert len(drawn) == 11


def test_cancel_comes_back_as_one_from_choices_that_do_not_go_together(opened, held):
    held.go_on.set()
    assert opened.wait(120)
    opened.state.initializer = "spectral"
    assert opened.wait(120)
    good = opened.state.wish
    held.reached.clear()
    held.go_on.clear()
    opened.state.scheme = "spatial"  # its curves are computed: what is chosen meanwhile cannot be checked
    assert held.reached.wait(60)
    opened.state.inputs = "yours"
    opened.state.ratio = 0.01
    cancel(opened)
    held.go_on.set()
    assert opened.wait(60)
    assert opened.state.wish == good
    assert "back to what was computed before" in opened.panel.status
    assert not opened.panel.busy


def test_a_search_asked_for_while_work_runs_is_done_after_it(page, monkeypatch):
    reached, go_on, network = threading.Event(), threading.Event(), page._allocation.network

    def slow(wish, progress):
        reached.set()
        assert go_on.wait(30)
        progress(0, 1, "factorizing")
        return network(wish, progress)

    monkeypatch.setattr(page._allocation, "network", slow)
    page.state.ratio = 0.9
    assert reached.wait(30)
    page.controls.agreement.value = 10
    page.controls.buttons["search"].click()
    page.controls.buttons["measure"].click()
    go_on.set()
    assert page.wait(120)
    assert page.state.ratio < 0.9
    assert "latency measured" in page.panel.status
    assert page._allocation.latency_ratio(page._allocation.plan(page.state.wish)) is None, "it was of the budget before"


@pytest.fixture
def held_search(page, monkeypatch):
    """A search that stands at its first question until `set()` is called."""
    reached, go_on, ask = threading.Event(), threading.Event(), judge.ask

    def held_ask(model, batch):
        reached.set()
        assert go_on.wait(30)
        return ask(model, batch)

    monkeypatch.setattr(judge, "ask", held_ask)
    page.controls.agreement.value = 10
    page.controls.buttons["search"].click()
    assert reached.wait(30)
    return go_on


def test_a_search_that_another_button_interrupts_is_done_all_the_same(page, held_search):
    page.controls.buttons["measure"].click()
    held_search.set()
    assert page.wait(120)
    assert page.state.ratio < 0.5
    assert "latency measured" in page.panel.status


def test_a_search_asked_for_again_is_done_once(page, held_search):
    page.controls.buttons["search"].click()
    held_search.set()
    assert page.wait(120)
    assert page.state.ratio < 0.5
    assert "is the smallest budget found" in page.panel.status


def test_a_search_given_up_for_another_choice_says_so(page, held_search):
    page.state.ratio = 0.9
    held_search.set()
    assert page.wait(120)
    assert page.state.ratio == 0.9
    assert "the search was given up" in page.panel.status
