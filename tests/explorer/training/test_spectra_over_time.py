"""Spectra in the training tab: the map of all layers over time, one layer's spectrum at a moment."""

import threading
from time import perf_counter

import numpy as np
import pytest
from explorer.recorded import CONFIG, LAYERS, append_steps, record
from traitlets import TraitError

from lrexplore.explorer.panel.arrays import unpack
from lrexplore.explorer.panel.board_patch import patch_between
from lrexplore.explorer.training.spectra.spectra_figures import SPECTRA_QUANTITIES
from lrexplore.explorer.training.spectra.spectra_moments import Moments
from lrexplore.explorer.training.state import LATEST
from lrexplore.explorer.training.tab import TrainingTab
from lrexplore.records import Run, Writer
from lrexplore.records.spectra import QUANTITIES, kept_ranks

NAMES = ["conv1", "fc"]


def row(step, counts=(8, 300), full=(8, 300)):
    """Spectra that fall with the rank and rise with the step; every quantity says its layer and step."""
    values = [float((1 + step) / rank) for count in counts for rank in kept_ranks(count)]
    numbers = {key: [100 * n + step + k for k in range(len(counts))] for n, key in enumerate(QUANTITIES)}
    return {"step": step, "epoch": 1, "num_values": list(counts), "full_rank": list(full), "values": values, **numbers}


def record_spectra(folder, steps=(0, 10, 20), **choices):
    config = {**CONFIG, **choices, "name": folder.name, "runs": str(folder.parent)}
    description = {"name": folder.name, "config": config, "layers": LAYERS, "spectra_layers": NAMES}
    with Writer(folder, description) as writer:
        append_steps(writer, range(1, 21), config["seed"])
        for step in steps:
            writer.append("spectra", row(step))
        writer.status("done", step=20, num_steps=20)
    return folder


@pytest.fixture
def tab(tmp_path, sent):
    """The tab of two runs with spectra and one without, the first selected; its error area stays empty."""
    record_spectra(tmp_path / "a", seed=0)
    record_spectra(tmp_path / "b", seed=1, steps=(0, 14))
    record(tmp_path / "plain", seed=2)
    opened = TrainingTab(tmp_path)
    opened.show(False)
    opened.state.checked, opened.state.selected = ["a", "b"], "a"
    sent.clear()
    yield opened
    error = opened.panel.error
    opened.close()
    assert error == ""


def plots(tab):
    return {plot["id"]: plot for plot in tab._frame["plots"]}


def drawn(tab):
    """Name of a curve -> its ranks and values; the faint one is called "first"."""
    traces = plots(tab)["spectrum"]["data"]
    return {"first" if t["opacity"] < 1 else t["name"]: (t["x"], t["y"]) for t in traces if t["mode"] == "lines"}


def test_a_quantity_of_every_layer_is_mapped_over_the_recorded_moments(tab):
    tab.state.spectra_quantity = "function error cut to 10 %"
    [trace] = plots(tab)["function_error_0.1"]["data"]
    place = QUANTITIES.index("function_error_0.1")
    assert trace["y"] == NAMES and unpacked(trace["x"]).tolist() == [0, 10, 20]
    assert unpacked(trace["customdata"]).tolist() == [[100 * place + step + k for step in (0, 10, 20)] for k in (0, 1)]


def unpacked(value):
    return value if isinstance(value, np.ndarray) else unpack(value)


@pytest.mark.parametrize("label", SPECTRA_QUANTITIES)
def test_every_recorded_quantity_can_be_mapped(tab, label):
    tab.state.spectra_quantity = label
    assert SPECTRA_QUANTITIES[label].column in plots(tab)


def test_the_map_lies_over_what_the_curves_lie_over(tab):
    tab.state.axis = "time"
    assert unpacked(plots(tab)["effective_rank"]["data"][0]["x"]).tolist()[1:] == [5.0, 10.0]  # half a second a step


def test_the_spectrum_is_that_of_the_moment_and_of_compared_runs_the_nearest(tab):
    tab.spectra.slider.value = 1
    assert tab.state.moment == 1 and tab.spectra.said.value == "step 10"
    curves = drawn(tab)
    np.testing.assert_allclose(curves["a"][1], 11 / np.arange(1, 9))
    np.testing.assert_allclose(curves["b"][1], 15 / np.arange(1, 9))
    np.testing.assert_allclose(curves["first"][1], 1 / np.arange(1, 9))
    tab.state.spectrum_layer = "fc"
    assert drawn(tab)["a"][0].tolist() == kept_ranks(300).tolist()


def test_moving_in_time_changes_numbers_only_which_travel_as_a_patch(tab):
    before = tab._frame
    tab.spectra.slider.value = 0
    patch = patch_between(before, tab._frame)
    assert set(patch["plots"]) == {"spectrum"} and not patch["readouts"]


def test_dots_say_the_errors_of_the_cuts_at_their_ranks(tab):
    tab.state.spectrum_layer = "fc"
    dots = plots(tab)["spectrum"]["data"][-1]
    assert dots["x"].tolist() == [15, 30, 75, 150]
    scale, function, frobenius = dots["customdata"][1]
    places = (QUANTITIES.index(f"{kind}_error_0.1") for kind in ("function", "frobenius"))
    assert [scale, function, frobenius] == [np.float32(0.1), *(100 * place + 21 for place in places)]


def test_a_factorized_layer_has_no_dot_past_its_rank():
    moments = Moments(NAMES)
    moments.extend([row(0, counts=(3, 20), full=(8, 300))])
    from lrexplore.explorer.training.spectra.spectra_figures import _cuts

    assert np.isnan(_cuts(moments, 0, "fc")["y"]).tolist() == [False, True, True, True]


def test_at_its_end_the_slider_stays_at_the_latest_moment_and_else_where_it_is(tab, tmp_path):
    assert tab.state.moment == LATEST and tab.spectra.slider.value == 2
    run = tmp_path / "a"
    more(run, 30)
    tab._watch.curves.poll([tab.runs["a"]])
    tab._draw()
    assert (tab.spectra.slider.max, tab.spectra.slider.value, tab.spectra.said.value) == (3, 3, "step 30")
    tab.spectra.slider.value = 1
    more(run, 40)
    tab._watch.curves.poll([tab.runs["a"]])
    tab._draw()
    assert (tab.spectra.slider.max, tab.spectra.slider.value, tab.state.moment) == (4, 1, 1)
    assert unpacked(plots(tab)["effective_rank"]["data"][0]["x"]).tolist() == [0, 10, 20, 30, 40]


def test_play_goes_through_the_moments_to_the_latest_and_stops(tab):
    seen, ended = [], threading.Event()

    def note(change):
        seen.append(change["new"])
        if change["new"] == LATEST:
            ended.set()

    tab.state.observe(note, names="moment")
    tab.spectra.play.click()
    assert tab.spectra.play.description == "stop"
    assert ended.wait(20)
    tab.spectra.close()
    tab.spectra._ticker.join(20)
    assert seen == [0, 1, LATEST]
    tab.spectra.is_playing = False


def test_play_stops_where_it_is_pressed_again(tab, monkeypatch):
    monkeypatch.setattr(tab.spectra._ticker, "wake", lambda: None)
    tab.spectra.play.click()
    assert (tab.spectra.slider.value, tab.spectra.is_playing) == (0, True)
    assert tab.spectra._advance() > 0 and tab.spectra.slider.value == 1
    tab.spectra.play.click()
    assert tab.spectra._advance() is None
    assert (tab.spectra.slider.value, tab.spectra.play.description) == (1, "play")


def more(folder, step):
    with Writer(folder, {}) as writer:
        writer.append("spectra", row(step))


def test_a_run_that_goes_on_from_before_has_no_moment_twice(tab, tmp_path):
    with Writer(tmp_path / "a", {}) as writer:
        writer.resume({"spectra": 2, "steps": 10})
        writer.append("spectra", row(20))
    tab._watch.curves.poll([tab.runs["a"]])
    tab._draw()
    assert tab._watch.curves.moments(tab.runs["a"]).steps == [0, 10, 20]


def test_without_spectra_there_is_neither_row_nor_plot(tab):
    assert tab.spectra.box.layout.display is None and "spectrum" in plots(tab)
    tab.state.checked, tab.state.selected = ["plain"], "plain"
    assert tab.spectra.box.layout.display == "none" and "spectrum" not in plots(tab)


def test_a_finished_run_whose_lines_are_gone_is_read_from_parquet(tmp_path):
    folder = record_spectra(tmp_path / "a")
    with Writer(folder, {}) as writer:
        writer.finish()
    before = Run(folder).spectra()
    for lines in folder.glob("*.jsonl"):
        lines.unlink()
    tab = TrainingTab(tmp_path)
    tab.show(False)
    tab.state.checked, tab.state.selected = ["a"], "a"
    moments = tab._watch.curves.moments(tab.runs["a"])
    tab.close()
    assert moments.steps == [0, 10, 20] and tab.panel.error == ""
    np.testing.assert_array_equal(moments.spectrum(2, "fc")[1], before["singular_values"].iloc[-1])


def test_a_quantity_that_is_none_is_refused(tab):
    with pytest.raises(TraitError, match="`spectra_quantity` must be one of"):
        tab.state.spectra_quantity = "rank"


def test_two_hundred_moments_of_fifty_three_layers_cost_an_update_little(tmp_path):
    names = [f"layer{k}" for k in range(53)]
    description = {"name": "big", "config": {**CONFIG, "name": "big"}, "layers": LAYERS, "spectra_layers": names}
    moment = row(0, counts=(256,) * 53, full=(256,) * 53)
    with Writer(tmp_path / "big", description) as writer:
        append_steps(writer, range(1, 201), num_steps=200)
        for step in range(200):
            writer.append("spectra", {**moment, "step": step})
        writer.status("done", step=200, num_steps=200)
    tab = TrainingTab(tmp_path)
    tab.show(False)
    tab.state.checked, tab.state.selected = ["big"], "big"
    assert tab.wait(60)
    updates = []
    for step in range(200, 210):
        with Writer(tmp_path / "big", {}) as writer:
            writer.append("spectra", {**moment, "step": step})
        began = perf_counter()
        tab._watch.curves.poll([tab.runs["big"]])
        tab._draw()
        updates.append(perf_counter() - began)
    moved = []
    for place in range(0, 200, 10):
        began = perf_counter()
        tab.spectra.slider.value = place
        moved.append(perf_counter() - began)
    tab.close()
    print(f"update {1e3 * np.median(updates):.1f} ms, slider {1e3 * np.median(moved):.1f} ms")
    assert np.median(updates) < 0.1 and np.median(moved) < 0.05
