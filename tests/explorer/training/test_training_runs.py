"""Real runs, started, followed, stopped and resumed by the tab; processes of their own, tiny ones."""

import os
import signal
import threading

import pytest
import torch

from lrexplore.explorer.app import explore
from lrexplore.explorer.panel.arrays import unpack
from lrexplore.explorer.training.tab import TrainingTab
from lrexplore.models.catalogue import OWN
from lrexplore.ranks import LayerPlan, RankPlan
from lrexplore.records import Run

LONG_S = 120
TINY = {"num_images": 32, "batch_size": 16, "workers": 0, "device": "cpu", "held_out": 0.01, "checkpoint_steps": 3}


class Watcher:
    """Waits, without asking again and again, until what a tab shows has come about."""

    def __init__(self, tab):
        self._changed = threading.Condition()
        self._tab = tab
        tab.panel.observe(self._on_change, names=["table", "frame", "patch", "error"])

    def _on_change(self, change):
        with self._changed:
            self._changed.notify_all()

    def until(self, condition):
        """Wait for it; an error on screen ends the wait."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition() or self._tab.panel.error, LONG_S), self._tab.panel.table
        assert condition(), self._tab.panel.error


@pytest.fixture
def tab(tmp_path):
    """The tab of an empty folder, on screen: its own thread follows."""
    opened = TrainingTab(tmp_path / "runs")
    yield opened
    handles = [run.handle for run in opened.runs.values() if run.handle is not None]
    opened.close()
    for handle in handles:
        handle.stop()
        handle.wait(LONG_S)


def state(tab, name="a"):
    return next((row.get("state") for row in tab.panel.table["rows"] if row["name"] == name), None)


def points(tab):
    plots = [plot for plot in tab.panel.frame["plots"] if plot["id"] == "steps"]
    return len(unpack(plots[0]["data"][-1]["x"])) if plots else 0


def test_a_run_is_started_followed_stopped_and_goes_on(tab):
    watcher = Watcher(tab)
    run = tab.start(name="a", steps=100_000, **TINY)
    assert tab.state.selected == "a"
    assert tab.state.checked == ["a"]
    watcher.until(lambda: state(tab) == "running" and points(tab) >= 3)
    assert not tab.controls.stop.disabled
    tab.controls.stop.click()
    watcher.until(lambda: state(tab) == "stopped")
    stopped = Run(run.folder).status["step"]
    watcher.until(lambda: points(tab) == stopped)
    tab.controls.resume.click()
    watcher.until(lambda: state(tab) == "running" and points(tab) > stopped)
    tab.stop("a")
    watcher.until(lambda: state(tab) == "stopped")
    assert tab.panel.error == ""


def test_a_run_outlives_the_tab_that_started_it(tab):
    watcher = Watcher(tab)
    run = tab.start(name="a", steps=100_000, **TINY)
    watcher.until(lambda: state(tab) == "running")
    tab.close()
    outside = Run(run.folder)
    before = outside.status["step"]
    records = outside.records
    while len(records.columns("steps").get("step", ())) <= before + 2:
        assert outside.status["state"] == "running"
        records = outside.records
    outside.stop()
    assert run.handle.wait(LONG_S) == "stopped"


def test_a_start_that_fails_shows_the_last_words_of_its_log(tab):
    watcher = Watcher(tab)
    tab.start(name="a", data="nowhere", steps=2)
    watcher.until(lambda: tab.panel.error != "")
    assert "`data` must be a folder" in tab.panel.error
    assert tab.panel.error.startswith("a: ")
    assert state(tab) == "failed"
    tab.panel.error = ""
    tab.poll()
    assert tab.panel.error == ""


def test_a_killed_run_by_plan_goes_on_or_says_what_has_changed(tab, tmp_path):
    watcher = Watcher(tab)
    weight = {"weight_shape": (16, 16, 3, 3), "parameters_before": 2304, "parameters_after": 480}
    about = {"initializer": "spectral", "inputs": "none", "method": "by hand", "budget": "none"}
    plans = [
        RankPlan(layers=(LayerPlan(name="layer1.0.conv1", rank=rank, **weight),), error=0.0, gap=None,
                 parameters=(10_000, 10_000 - 1824), **about)
        for rank in (3, 4)
    ]  # fmt: skip
    file = tmp_path / "plan.json"
    plans[0].save(file)
    run = tab.start(name="a", plan=str(file), steps=100_000, **{**TINY, "checkpoint_steps": 100_000})
    watcher.until(lambda: state(tab) == "running" and points(tab) >= 2)
    os.kill(run.status["pid"], signal.SIGKILL)
    watcher.until(lambda: state(tab) == "interrupted")
    plans[1].save(file)
    tab.controls.resume.click()
    watcher.until(lambda: state(tab) == "failed" and tab.panel.error != "")
    assert "rank 4 (channel) for layer1.0.conv1, which had rank 3 (channel)" in tab.panel.error
    file.unlink()
    tab.controls.resume.click()
    watcher.until(lambda: state(tab) == "running" and points(tab) >= 2)
    assert tab.panel.error == ""


def test_a_button_pressed_for_a_network_without_a_name_says_so(tab):
    tab.form.model.value = "MyNetwork"
    tab.form.start.click()
    assert "knows by name" in tab.panel.error
    assert tab.runs == {}


def test_ranks_set_layer_by_layer_are_those_that_are_trained(tmp_path, no_floor):
    explorer = explore("resnet20", rank_scale=0.1)
    explorer.state.layer = "layer2.0.conv2"
    explorer.state.rank = 5
    explorer.state.initializer, explorer.state.scheme = "spectral", "spatial"
    explorer.state.tab = "Training"
    tab = explorer.page("Training").tab
    tab.state.folder = str(tmp_path)
    form = tab.form
    assert (form.initializer.value, form.scheme.value, form.rank_scale.value) == ("spectral", "spatial", 0.1)
    tab.form.ranks.value = "as set layer by layer"
    with pytest.raises(
        ValueError, match="`scheme` must be spatial, in which the ranks were set layer by layer, got chan"
    ):
        tab.start(name="a", scheme="channel", steps=1, **TINY)
    assert not any(tmp_path.iterdir())
    run = tab.start(name="a", steps=1, **TINY)
    ranks = explorer.ranks()
    assert run.handle.wait(LONG_S) == "done"
    trained = torch.load(run.folder / "checkpoint.pt", weights_only=True)["model"]
    plan = RankPlan.load(run.folder / "plan.json")
    inner = ranks.keys() - {"conv1", "fc", "linear"}
    assert plan.ranks == {name: ranks[name] for name in inner}
    assert plan.ranks["layer2.0.conv2"] == 5
    assert {name: trained[f"{name}.left"].shape[-1] for name in plan.ranks} == plan.ranks
    assert "resnet20" in OWN
    assert tab.panel.error == ""
    explorer.close()
