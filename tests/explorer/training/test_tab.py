"""The training tab without a kernel: `panel.set_state` and a button's `click` are what the browser sends."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from explorer.recorded import CONFIG, LAYERS, append_steps, pretend_running, record
from traitlets import TraitError

from lrexplore.explorer.panel.arrays import unpack
from lrexplore.explorer.training import runs as run_watch
from lrexplore.explorer.training.tab import TrainingTab, watch
from lrexplore.ranks import LayerPlan, RankPlan
from lrexplore.records import Run, Writer, read


@pytest.fixture
def open_tab(monkeypatch):
    """A function: folder -> its tab, at rest; closed at the end, the error area being empty."""
    opened = []

    def open_one(folder, **options):
        tab = TrainingTab(folder, **options)
        tab.show(False)
        opened.append(tab)
        return tab

    yield open_one
    errors = [tab.panel.error for tab in opened]
    for tab in opened:
        tab.close()
    assert errors == [""] * len(opened)


@pytest.fixture
def tab(tmp_path, sent, open_tab):
    """The tab of four finished runs: two initializers, two seeds."""
    for initializer in ("function", "spectral"):
        for seed in (0, 1):
            record(tmp_path / f"{initializer}-{seed}", initializer=initializer, seed=seed)
    opened = open_tab(tmp_path)
    sent.clear()
    return opened


def plan_with(rank):
    layer = LayerPlan(name="a", weight_shape=(8, 8), rank=rank, parameters_before=64, parameters_after=16 * rank)
    about = {"initializer": "function", "inputs": "none", "method": "by hand", "budget": "none"}
    return RankPlan(layers=(layer,), error=0.0, gap=None, parameters=(128 - 32 * rank, 64 - 16 * rank), **about)


def plot(tab, name):
    return next(plot for plot in tab.panel.frame["plots"] if plot["id"] == name)


def curves(tab, name="steps"):
    """Label of a curve -> its (x, y) as the browser has them."""
    lines = [trace for trace in plot(tab, name)["data"] if trace.get("showlegend", True)]
    return {trace["name"]: (unpack(trace["x"]), unpack(trace["y"])) for trace in lines}


def rows(tab):
    return {row["name"]: row for row in tab.panel.table["rows"]}


def test_the_runs_of_the_folder_are_a_table_with_state_choices_and_accuracy(tab):
    row = rows(tab)["function-1"]
    assert tab.panel.table["checks"]
    assert {key: row[key] for key in ("state", "initializer", "rank_scale", "decay", "seed", "step", "test")} == {
        "state": "done", "initializer": "function", "rank_scale": "0.1", "decay": "frobenius", "seed": "1",
        "step": "20", "test": "79.50",
    }  # fmt: skip


def test_seeds_are_drawn_as_their_mean(tab, tmp_path):
    tab.state.smoothing = 0
    recorded = read(tmp_path, "steps").query("initializer == 'spectral'")
    table = recorded.pivot(index="step", columns="seed", values="loss")
    x, y = curves(tab)["spectral (2 seeds)"]
    np.testing.assert_array_equal(x, table.index)
    np.testing.assert_allclose(y, table.mean(axis=1), rtol=1e-6)


def test_boxes_checked_in_the_browser_are_the_runs_compared(tab):
    tab.panel.set_state({"checked": ["function-0", "function-1"]})
    assert tab.state.checked == ["function-0", "function-1"]
    assert tab.panel.frame["title"].startswith("Training · 2 of 4 runs compared · all resnet20")
    assert list(curves(tab)) == ["function · rank scale 0.1 · frobenius decay (2 seeds)"]
    tab.panel.set_state({"checked": []})
    assert tab.panel.frame["plots"] == []
    assert "check some in the table" in tab.panel.frame["title"]


def test_the_slider_sets_the_smoothing_and_sends_a_patch(tab, sent):
    before = curves(tab)["function (2 seeds)"][1]
    tab.panel.set_state({"value": 0.5})
    assert tab.state.smoothing == 0.5
    assert not np.allclose(curves(tab)["function (2 seeds)"][1], before)
    names = [message.names for message in sent.to(tab.panel)]
    assert any("patch" in found for found in names)
    assert not any("frame" in found for found in names)


@pytest.mark.parametrize(
    ("trait", "value"),
    [
        ("grouping", "single runs"), ("axis", "epoch"), ("axis", "time"), ("log_x", True), ("log_y", True),
        ("step_quantity", "images/s"), ("epoch_quantity", "held-out loss"), ("baseline", "spectral-0"),
        ("layer", LAYERS[1]), ("layer", "every layer of the selected run"),
    ],
)  # fmt: skip
def test_each_choice_changes_the_plots_in_one_message(tab, sent, trait, value):
    before = tab.panel.frame
    setattr(tab.state, trait, value)
    shown = [message for message in sent.to(tab.panel) if message.names & {"frame", "patch"}]
    assert len(shown) == 1
    assert tab.panel.frame is not before or "patch" in shown[0].names


def test_a_picker_and_the_state_are_one(tab):
    picker = tab.controls.grouping
    picker.set_state({"index": picker.options.index("single runs")})
    assert tab.state.grouping == "single runs"
    tab.state.axis = "time"
    assert tab.controls.axis.value == "time"


def test_offering_more_layers_and_runs_changes_no_choice(tab, tmp_path):
    tab.state.layer, tab.state.baseline = LAYERS[1], "spectral-1"
    record(tmp_path / "another", seed=5)
    assert tab.poll()
    assert (tab.state.layer, tab.controls.layer.value) == (LAYERS[1], LAYERS[1])
    assert (tab.state.baseline, tab.controls.baseline.value) == ("spectral-1", "spectral-1")
    assert "another" in tab.controls.baseline.options


def test_unfactorized_runs_are_the_dashed_baseline_even_unchecked(tab, tmp_path):
    record(tmp_path / "whole", rank_scale=None)
    tab.poll()
    assert "whole" not in tab.state.checked
    assert "baseline: unfactorized" in curves(tab)
    tab.state.baseline = "none"
    assert "baseline: unfactorized" not in curves(tab)


def test_a_heat_map_shows_the_run_that_is_selected_in_the_table(tab):
    tab.state.layer = "every layer of the selected run"
    tab.panel.set_state({"layer": "spectral-1"})
    assert tab.state.selected == "spectral-1"
    (trace,) = plot(tab, "nuclear_norm")["data"]
    assert trace["type"] == "heatmap"
    np.testing.assert_allclose(unpack(trace["customdata"]), [[6, 11, 16, 21], [7, 12, 17, 22]])
    assert "of the run spectral-1" in plot(tab, "nuclear_norm")["caption"]


def test_a_poll_without_news_sends_nothing(tab, sent):
    assert not tab.poll()
    assert sent.to(tab.panel) == []


def test_a_live_run_grows_on_screen_by_patches(tmp_path, sent, open_tab):
    with Writer(tmp_path / "a", {"name": "a", "config": CONFIG, "layers": LAYERS}) as writer:
        append_steps(writer, range(1, 4))
        writer.status("running", step=3, num_steps=20, wall_s=1.5)
        tab = open_tab(tmp_path)
        sent.clear()
        append_steps(writer, range(4, 7))
        assert tab.poll()
        assert curves(tab)["function · rank scale 0.1 · frobenius decay"][0].tolist() == list(range(1, 7))
        assert not any("frame" in message.names for message in sent.to(tab.panel))
        writer.status("done", step=6, num_steps=6)
        append_steps(writer, [7])
        assert tab.poll()
    assert rows(tab)["a"]["state"] == "done"
    assert curves(tab)["function · rank scale 0.1 · frobenius decay"][0].tolist() == list(range(1, 8))
    assert not tab.poll()


def test_a_run_that_someone_starts_elsewhere_joins_the_comparison_while_it_lives(tab, tmp_path):
    pretend_running(record(tmp_path / "new", seed=7), os.getpid())
    assert tab.poll()
    assert "new" in tab.state.checked
    assert tab.panel.checked == tab.state.checked


def test_a_run_asked_to_stop_says_so_until_it_has_and_is_not_asked_again(tab, tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        pretend_running(record(tmp_path / "live", seed=9), process.pid)
        tab.poll()
        tab.state.selected = "live"
        tab.controls.stop.click()
        assert process.wait(60) < 0
        assert (rows(tab)["live"]["state"], tab.controls.stop.disabled) == ("stopping", True)
        (readout,) = [found for found in tab.panel.frame["readouts"] if found["id"] == "state"]
        assert readout["text"] == "stopping"
    assert tab.poll()
    assert rows(tab)["live"]["state"] == "interrupted"
    pretend_running(tmp_path / "live", os.getpid())
    tab.poll()
    assert rows(tab)["live"]["state"] == "running"


def test_a_run_that_is_removed_leaves_table_and_plots(tab, tmp_path):
    shutil.rmtree(tmp_path / "spectral-0")
    assert tab.poll()
    assert "spectral-0" not in rows(tab)
    assert "spectral (2 seeds)" not in curves(tab)


def test_another_folder_is_another_list(tab, tmp_path):
    record(tmp_path / "deeper" / "only", seed=3)
    tab.state.folder = str(tmp_path / "deeper")
    assert list(rows(tab)) == ["only"]
    assert tab.state.checked == ["only"]
    assert tab.panel.layer == "only"


def test_a_folder_that_does_not_exist_is_an_empty_board(open_tab, tmp_path):
    tab = open_tab(tmp_path / "later")
    assert tab.panel.table["rows"] == tab.panel.frame["plots"] == []
    assert "start one with new run …" in tab.panel.frame["title"]
    assert "slider" not in tab.panel.frame


def test_a_folder_that_is_not_there_is_told_from_an_empty_one_with_names_near_it(open_tab, tmp_path):
    (tmp_path / "trained").mkdir()
    (tmp_path / "notes.txt").touch()
    titles = [open_tab(tmp_path / name).panel.frame["title"] for name in ("trainde", "trained", "notes.txt")]
    assert "there is no folder" in titles[0]
    assert "(near: trained)" in titles[0]
    assert f"no runs in {tmp_path / 'trained'} yet" in titles[1]
    assert "is a file, no folder of runs" in titles[2]


def test_a_baseline_that_is_not_there_is_told(tab, tmp_path):
    assert tab.panel.frame["title"].endswith("no baseline: no unfactorized run of what is compared")
    tab.state.baseline = "gone"
    assert tab.panel.frame["title"].endswith("no baseline: there is no run gone")
    tab.state.baseline = "none"
    assert "no baseline" not in tab.panel.frame["title"]
    tab.state.baseline = "unfactorized runs"
    record(tmp_path / "whole", rank_scale=None)
    tab.poll()
    assert "no baseline" not in tab.panel.frame["title"]


def test_a_folder_typed_is_followed_though_nobody_suggested_it(tab, tmp_path):
    folder = record(tmp_path / "deeper" / "only", seed=3).parent
    tab.controls.folder.set_state({"value": str(folder)})
    assert tab.state.folder == str(folder)
    tab.state.folder = str(tmp_path)
    assert tab.controls.folder.value == str(tmp_path)
    tab.controls.folder.set_state({"value": " "})
    assert (tab.controls.folder.value, tab.state.folder) == (str(tmp_path), str(tmp_path))
    assert "`folder` must be the path" in tab.panel.error
    tab.panel.error = ""


def test_a_curve_keeps_its_color_whichever_runs_are_checked(tab, tmp_path):
    for scale in (0.2, 0.3):
        record(tmp_path / f"scale-{scale}", rank_scale=scale)
    tab.poll()
    tab.state.grouping, colors = "rank scale", []
    for checked in (["function-0", "scale-0.2", "scale-0.3"], ["scale-0.3"], ["scale-0.2", "scale-0.3"]):
        tab.state.checked = checked
        colors.append({trace["name"]: trace["line"]["color"] for trace in plot(tab, "epochs")["data"]})
    assert colors[0]["rank scale 0.3"] == colors[1]["rank scale 0.3"] == colors[2]["rank scale 0.3"]


@pytest.mark.parametrize("name", ["", "  ", "..", "a/b", "a\0b"])
def test_a_name_that_names_no_folder_starts_nothing_and_leaves_no_file(tab, tmp_path, name):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="`name` must be"):
        tab.start(name=name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("trait", "value"), [("smoothing", 1.0), ("grouping", "moon"), ("folder", " "), ("axis", "epochs")]
)
def test_a_value_out_of_range_is_refused_and_nothing_moves(tab, trait, value):
    before = getattr(tab.state, trait), tab.panel.frame
    with pytest.raises(TraitError):
        setattr(tab.state, trait, value)
    assert (getattr(tab.state, trait), tab.panel.frame) == before


def test_an_error_of_a_handler_is_shown(tab, monkeypatch):
    monkeypatch.setattr(tab._watch, "poll", lambda compared: (_ for _ in ()).throw(OSError("the disk is away")))
    tab.controls.refresh.click()
    assert tab.panel.error == "OSError: the disk is away"
    tab.panel.error = ""


def test_stop_and_go_on_are_on_only_where_they_mean_something(tab, tmp_path):
    assert tab.controls.stop.disabled
    assert tab.controls.resume.disabled
    record(tmp_path / "half", state="stopped", seed=9)
    tab.poll()
    tab.state.selected = "half"
    assert not tab.controls.resume.disabled
    pretend_running(tmp_path / "half", os.getpid())
    tab.poll()
    assert (tab.controls.stop.disabled, tab.controls.resume.disabled) == (False, True)


def test_a_button_pressed_twice_starts_one_run_and_says_that_its_name_is_taken(tmp_path, monkeypatch, open_tab):
    plans = iter([plan_with(rank=3), plan_with(rank=4)])
    started = []
    monkeypatch.setattr(
        run_watch, "start_run", lambda config: started.append(config) or Run(Path(config.runs, config.name))
    )
    tab = open_tab(tmp_path, plan=lambda scheme: next(plans))
    tab.form.ranks.value, tab.form.name.value = "as set layer by layer", "a"
    tab.form.start.click()
    assert (tab.panel.error, rows(tab)["a"]["state"]) == ("", "starting")
    assert "plan that keeps 0.5 of the parameters" in next(iter(curves(tab)))
    tab.form.start.click()
    assert "`name` must be new" in tab.panel.error
    assert len(started) == 1
    assert RankPlan.load(tmp_path / "a" / "plan.json").ranks == {"a": 3}
    tab.panel.error = ""


def test_hidden_or_in_colab_no_thread_looks_at_the_runs(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    tab = watch(record(tmp_path / "a"))
    assert not tab._ticker.is_running
    tab.close()


def test_the_thread_rests_while_hidden_and_ends_with_close(tab):
    assert tab._tick() is None
    tab._visible = True
    assert tab._tick() == 3.0
    tab._visible = False
    tab.close()
    tab._ticker.join(60)
    assert not tab._ticker.is_running


def test_a_run_that_cannot_be_read_is_a_row_that_says_why(tab, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    tab.poll()
    assert "must be a JSON object" in rows(tab)["bad"]["disabled"]
    assert "bad" not in tab.controls.baseline.options


def test_a_static_copy_holds_a_picture_and_words(tab, tmp_path):
    bundle = tab._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == f"Training runs in {tmp_path}: 4"
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_page_holds_the_compared_runs_and_nothing_that_needs_a_kernel(tab, tmp_path):
    tab.panel.set_state({"checked": ["function-0", "function-1"]})
    page = tab.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    state = json.loads(re.search('<script type="application/json" id="state">(.*?)</script>', page)[1])
    assert [row["name"] for row in state["table"]["rows"]] == ["function-0", "function-1"]
    assert not state["table"]["checks"]
    assert "slider" not in state["frame"]
    assert [readout["id"] for readout in state["frame"]["readouts"]] == ["best"]
    assert len(state["frame"]["plots"]) == 6
    assert "slider" in tab.panel.frame
