"""Long work: progress, cancel, what is shown meanwhile, and what it raises."""

import threading

import numpy as np
import pytest
from explorer.networks import HEAD, WIDE
from explorer.on_screen import curve_on_screen
from torch import nn


def block(explorer, monkeypatch):
    """Make the study on screen wait inside its second point; returns the events (reached, go on)."""
    study, reached, go_on = explorer._study(), threading.Event(), threading.Event()
    add = study.add

    def slow(initializer, rank, stopped=None):
        add(initializer, rank, stopped)
        if initializer == "function" and len(study.curve("function").ranks) == 2:
            reached.set()
            assert go_on.wait(30)

    monkeypatch.setattr(study, "add", slow)
    return reached, go_on


@pytest.fixture
def busy(sent, open_explorer, monkeypatch):
    """An explorer whose worker waits in the middle of the curves of `function` of `wide`."""
    explorer = open_explorer()
    assert explorer.wait(60)
    explorer.state.initializer = "spectral"
    assert explorer.wait(60)
    with monkeypatch.context() as patched:
        patched.setattr("lrexplore.explorer.compute.Study.fill", lambda *arguments: iter(()))
        explorer.state.layer = WIDE
        assert explorer.wait(60)
    reached, go_on = block(explorer, monkeypatch)
    explorer.state.rank = 6
    assert reached.wait(60)
    yield explorer, go_on
    go_on.set()


def test_a_layer_is_drawn_before_its_curves_are_complete(busy):
    explorer, go_on = busy
    assert len(curve_on_screen(explorer, "function")[0]) < 16
    assert len(curve_on_screen(explorer, "spectral")[0]) == 16
    go_on.set()
    assert explorer.wait(60)
    assert len(curve_on_screen(explorer, "function")[0]) == 16
    assert (explorer.state.progress, explorer.panel.busy) == (1, False)


def test_the_rank_moves_while_curves_are_computed(busy):
    explorer, _ = busy
    explorer.panel.set_state({"rank": 13})
    assert (explorer.state.rank, explorer.factors().rank) == (13, 13)


def test_cancel_leaves_the_curves_as_far_as_they_are_and_the_explorer_usable(busy):
    explorer, go_on = busy
    explorer.panel._handle_custom_msg({"type": "cancel"}, [])
    go_on.set()
    assert explorer.wait(60)
    assert len(explorer._study().curve("function").ranks) == 2
    assert "cancelled" in explorer.panel.status
    assert (explorer.state.progress, explorer.panel.busy) == (1, False)
    explorer.state.layer = HEAD
    assert explorer.wait(60)
    assert len(curve_on_screen(explorer, "function")[0]) == 6


def test_another_layer_does_not_wait_for_the_curves_of_the_last_one(busy):
    explorer, go_on = busy
    explorer.panel.set_state({"layer": HEAD})
    assert explorer.panel.frame["title"].startswith("head ·")
    go_on.set()
    assert explorer.wait(60)
    assert len(curve_on_screen(explorer, "function")[0]) == 6


def test_another_layer_does_not_wait_for_a_sampled_fit(open_explorer):
    explorer = open_explorer(nn.Sequential(nn.Linear(1000, 800), nn.ReLU(), nn.Linear(800, 6)))
    explorer.state.initializer = "sampled"
    explorer.state.rank = 799
    explorer.state.initializer, explorer.state.layer = "spectral", "2"
    assert explorer.wait(60)
    assert len(curve_on_screen(explorer, "function")[0]) == 6
    assert not explorer.panel.busy


def test_progress_is_told_at_most_ten_times_a_second(sent, open_explorer, monkeypatch):
    clock = iter(np.arange(0, 1000, 0.03))
    monkeypatch.setattr("lrexplore.explorer.completion.time.monotonic", lambda: next(clock))
    explorer = open_explorer()
    assert explorer.wait(60)
    told = [message for message in sent.to(explorer.panel) if "progress" in message.names]
    assert 1 <= len(told) <= 12


def test_what_background_work_raises_is_shown_and_the_explorer_goes_on(sent, open_explorer, monkeypatch):
    explorer = open_explorer()
    assert explorer.wait(60)

    def fail(*arguments):
        raise ArithmeticError("the sum is lost")

    with monkeypatch.context() as patched:
        patched.setattr("lrexplore.explorer.compute.Study.add", fail)
        explorer.state.layer = WIDE
        assert explorer.wait(60)
        assert explorer.panel.error == "ArithmeticError: the sum is lost"
        assert not explorer.panel.busy
    explorer.state.layer = HEAD
    assert explorer.wait(60)
    assert explorer.panel.error == ""
    assert len(curve_on_screen(explorer, "function")[0]) == 6


def test_what_a_handler_raises_is_shown_and_the_explorer_goes_on(sent, open_explorer, monkeypatch):
    explorer = open_explorer()
    assert explorer.wait(60)

    def fail(*arguments):
        raise ArithmeticError("no frame")

    with monkeypatch.context() as patched:
        patched.setattr("lrexplore.explorer.screen.build_frame", fail)
        explorer.panel.set_state({"layer": WIDE})
        assert explorer.panel.error == "ArithmeticError: no frame"
    explorer.panel.set_state({"layer": HEAD})
    assert explorer.panel.error == ""
    assert explorer.panel.frame["title"].startswith("head ·")
