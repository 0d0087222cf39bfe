"""Long work: progress, cancel, what is shown meanwhile, and what it raises."""

import threading

import numpy as np
import pytest
from explorer.networks import HEAD, STEM, WIDE, linear_network
from explorer.on_screen import curve_on_screen
from torch import nn

from lrexplore.explorer.app import explore
from lrexplore.explorer.layer.floor import Floor
from lrexplore.explorer.work.worker import Token


def block(explorer, monkeypatch):
    """Make the study on screen wait inside its second point; returns the events (reached, go on)."""
    study, reached, go_on = explorer.layer_tab.study(), threading.Event(), threading.Event()
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
        patched.setattr("lrexplore.explorer.layer.compute.Study.fill", lambda *arguments: iter(()))
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
    assert len(explorer.layer_tab.study().curve("function").ranks) == 2
    assert "cancelled" in explorer.panel.status
    assert (explorer.state.progress, explorer.panel.busy) == (1, False)
    explorer.state.layer = HEAD
    assert explorer.wait(60)
    assert len(curve_on_screen(explorer, "function")[0]) == 6


def test_what_was_cancelled_goes_on_by_a_button_that_is_there_only_then(busy):
    explorer, go_on = busy
    resume = explorer.controls.resume
    assert resume.layout.display == "none"
    explorer.panel._handle_custom_msg({"type": "cancel"}, [])
    go_on.set()
    assert explorer.wait(60)
    assert (resume.layout.display, resume.description) == (None, "go on")
    resume.click()
    assert explorer.wait(60)
    assert len(curve_on_screen(explorer, "function")[0]) == 16
    assert (resume.layout.display, explorer.panel.status) == ("none", "")


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
    monkeypatch.setattr("lrexplore.explorer.layer.completion.time.monotonic", lambda: next(clock))
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
        patched.setattr("lrexplore.explorer.layer.compute.Study.add", fail)
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
        patched.setattr("lrexplore.explorer.layer.screen.build_frame", fail)
        explorer.panel.set_state({"layer": WIDE})
        assert explorer.panel.error == "ArithmeticError: no frame"
    explorer.panel.set_state({"layer": HEAD})
    assert explorer.panel.error == ""
    assert explorer.panel.frame["title"].startswith("head ·")


def test_the_exact_neurons_of_a_rank_come_before_the_curves(sent, open_explorer):
    explorer = open_explorer(nn.Linear(80, 70))
    assert explorer.wait(60)
    rank = min(set(range(1, 71)) - set(explorer.layer_tab.study().table_ranks.tolist()))
    sent.clear()
    explorer.panel.set_state({"rank": rank})
    assert explorer.wait(60)
    own = [item for item in sent.messages if item.widget == explorer.panel.model_id]
    row = next(i for i, item in enumerate(own) if item.method == "custom")
    assert next(i for i, item in enumerate(own) if "patch" in item.names) > row


def test_a_layer_seen_before_is_one_frame_and_one_row(explorer, sent):
    explorer.state.layer = WIDE
    assert explorer.wait(60)
    explorer.state.layer = STEM
    assert explorer.wait(60)
    sent.clear()
    explorer.state.layer = WIDE
    assert explorer.wait(60)
    own = [item for item in sent.messages if item.widget == explorer.panel.model_id]
    assert len([item for item in own if "frame" in item.names]) == 1
    assert len([item for item in own if item.method == "custom"]) == 1
    assert len([item for item in own if "patch" in item.names and "frame" not in item.names]) == 0


def test_stable_ranks_come_after_the_curves_in_one_message(sent, open_explorer):
    explorer = open_explorer()
    assert explorer.panel.table["rows"][0]["stable_rank"] == "…"
    assert explorer.wait(60)
    own = [item for item in sent.messages if item.widget == explorer.panel.model_id and item.method == "update"]
    assert [i for i, item in enumerate(own) if "table" in item.names] == [len(own) - 1]
    assert "…" not in [row["stable_rank"] for row in explorer.panel.table["rows"]]
    explorer.state.layer = HEAD
    assert explorer.wait(60)
    assert len([item for item in sent.to(explorer.panel) if "table" in item.names]) == 1


def test_proofs_begin_only_after_a_pause_in_which_nothing_is_asked_for(sent, monkeypatch):
    pauses, proofs = [], []
    monkeypatch.setattr(Token, "pause", lambda token: pauses.append(1) or len(pauses) < 3)
    monkeypatch.setattr(Floor, "fill", lambda *arguments: proofs.append(len(pauses)) or iter(()))
    explorer = explore(linear_network())
    for rank in (3, 4, 5):
        explorer.state.rank = rank
        assert explorer.wait(60)
    explorer.close()
    assert proofs == list(range(3, len(pauses) + 1))


def test_the_neurons_of_all_ranks_are_sent_at_most_twice_for_a_new_layer(sent, open_explorer, monkeypatch):
    clock = iter(np.arange(0, 1000, 0.05))
    monkeypatch.setattr("lrexplore.explorer.layer.completion.time.monotonic", lambda: next(clock))
    patches, explorer = [], open_explorer(nn.Linear(80, 70))
    explorer.panel.observe(lambda change: patches.append(change["new"]), names="patch")
    explorer.state.activation = "relu"
    assert explorer.wait(60)
    curves = [patch for patch in patches if "error" in patch.get("plots", {})]
    assert len(curves) > 6
    assert 1 <= len([patch for patch in curves if "by_rank" in patch]) <= 2
    assert "by_rank" in curves[-1]
