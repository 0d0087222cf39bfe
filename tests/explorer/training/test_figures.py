"""What is said and drawn of training runs."""

import numpy as np
import pytest
from explorer.recorded import CONFIG

from lrexplore.explorer.panel.panel import PlotPanel
from lrexplore.explorer.training.compute import Line, View
from lrexplore.explorer.training.figures import (
    EPOCH_QUANTITIES,
    LAYER_QUANTITIES,
    STEP_QUANTITIES,
    curve_plot,
    heat_plot,
)
from lrexplore.explorer.training.groups import Group
from lrexplore.explorer.training.listed import Listed

LOSS = STEP_QUANTITIES["training loss"]
TOP1 = EPOCH_QUANTITIES["held-out top-1"]
X = np.arange(1.0, 6)


def group(name="function", count=3, **more):
    runs = tuple(Listed(f"runs/{name}{k}", {**CONFIG, "seed": k}) for k in range(count))
    return Group(name, runs, "#D55E00", varies=("seed",) if count > 1 else (), **more)


def line(count=3, raw=False):
    spread = np.full(5, 0.5) if count > 1 else np.full(5, np.nan)
    return Line(X, X**2, spread, count, X if raw else np.zeros(0), X**2 + 1 if raw else np.zeros(0))


def test_a_mean_has_a_band_of_one_standard_deviation_to_both_sides():
    raw, band, curve = curve_plot(LOSS, [(group(), line())], View())["data"]
    np.testing.assert_array_equal(raw["x"], [])
    np.testing.assert_array_equal(band["x"], np.concatenate([X, X[::-1]]))
    np.testing.assert_array_equal(band["y"], np.concatenate([X**2 + 0.5, (X**2 - 0.5)[::-1]]))
    assert band["fill"] == "toself"
    np.testing.assert_array_equal(curve["y"], X**2)
    np.testing.assert_array_equal(curve["customdata"], np.full(5, 0.5))
    assert "mean of 3" in curve["hovertemplate"]
    assert "standard deviation" in curve["hovertemplate"]


def test_a_single_run_has_no_band_and_says_no_mean():
    raw, band, curve = curve_plot(LOSS, [(group(count=1), line(1, raw=True))], View(smoothing=0.5))["data"]
    assert len(band["x"]) == 0
    assert "mean" not in curve["hovertemplate"]
    np.testing.assert_array_equal(raw["y"], X**2 + 1)


def test_the_caption_says_what_was_done_to_the_numbers():
    caption = curve_plot(LOSS, [(group(), line())], View(smoothing=0.9))["caption"]
    assert "exponential average of weight 0.9" in caption
    assert "means over runs that differ in seed" in caption
    assert "one standard deviation (n − 1)" in caption
    plain = curve_plot(TOP1, [(group(count=1), line(1))], View(smoothing=0.9))["caption"]
    assert "Smoothed" not in plain
    assert "means" not in plain


def test_a_small_copy_says_of_how_many_steps_its_rows_are_means():
    copied = Group("a", (Listed("runs/a", CONFIG, steps_a_row=16),), "#D55E00")
    assert "means of 16 steps" in curve_plot(LOSS, [(copied, line(1))], View())["caption"]
    assert "copy" not in curve_plot(TOP1, [(copied, line(1))], View())["caption"]


def test_a_mean_over_more_than_seeds_says_so():
    pooled = Group("function", group().runs, "#D55E00", varies=("rank_scale", "seed"))
    assert "differ in rank scale and seed" in curve_plot(LOSS, [(pooled, line())], View())["caption"]


def test_a_baseline_is_dashed_without_a_band_and_named():
    plot = curve_plot(LOSS, [(group("whole", dash="dash", is_baseline=True), line())], View())
    _, curve = plot["data"]
    assert curve["line"]["dash"] == "dash"
    assert curve["name"] == "baseline: whole (3 seeds)"
    assert "Dashed: baseline." in plot["caption"]


def test_a_plot_without_points_says_what_it_waits_for():
    none = Line(*[np.zeros(0)] * 3, 0, *[np.zeros(0)] * 2)
    waiting = [curve_plot(TOP1, [(group(), drawn)], View())["layout"]["annotations"] for drawn in (none, line())]
    assert [[note["text"] for note in notes] for notes in waiting] == [["no epoch is over yet"], []]


def test_all_traces_of_a_curve_are_one_entry_of_the_legend():
    data = curve_plot(LOSS, [(group(), line()), (group("spectral"), line())], View())["data"]
    assert [trace["legendgroup"] for trace in data] == ["function (3 seeds)"] * 3 + ["spectral (3 seeds)"] * 3
    assert [trace.get("showlegend", True) for trace in data] == [False, False, True] * 2


@pytest.mark.parametrize(("axis", "title"), [("step", "step"), ("epoch", "epoch"), ("time", "time trained (s)")])
def test_axes_say_their_quantity_and_unit(axis, title):
    layout = curve_plot(LOSS, [], View(axis=axis, log_x=True), log_y=True)["layout"]
    assert layout["xaxis"]["title"]["text"] == title
    assert layout["xaxis"]["type"] == layout["yaxis"]["type"] == "log"
    assert layout["yaxis"]["title"]["text"] == "training loss (nats)"


def test_a_heat_map_has_the_true_values_on_hover_and_a_logarithmic_color():
    values = np.array([[1.0, 10.0], [100.0, 1000.0]])
    rate = LAYER_QUANTITIES["effective learning rate"]
    plot = heat_plot(rate, "a", np.array([5.0, 10.0]), ["first", "second"], values, View())
    (trace,) = plot["data"]
    np.testing.assert_allclose(trace["z"], np.log10(values))
    np.testing.assert_allclose(trace["customdata"], values)
    assert trace["y"] == ["first", "second"]
    assert trace["colorbar"]["ticktext"][0] == "1"
    assert "logarithmic scale" in plot["caption"]


def test_a_heat_map_with_a_zero_stays_linear_and_one_without_values_is_empty():
    slant = LAYER_QUANTITIES["non-orthogonality"]
    plot = heat_plot(slant, "a", np.array([5.0]), ["first", "second"], np.array([[0.0], [0.3]]), View())
    np.testing.assert_allclose(plot["data"][0]["z"], [[0], [0.3]], rtol=1e-6)
    assert "linear scale" in plot["caption"]
    empty = heat_plot(slant, "a", np.zeros(0), [], np.zeros((0, 0)), View())
    assert empty["data"][0]["z"].size == 0


def test_the_panel_takes_every_plot():
    rate = LAYER_QUANTITIES["effective learning rate"]
    plots = [curve_plot(quantity, [(group(), line())], View()) for quantity in (LOSS, TOP1)]
    plots.append(heat_plot(rate, "a", np.array([5.0, 10.0]), ["b"], np.array([[1.0, np.nan]]), View()))
    panel = PlotPanel()
    panel.show({"key": "a", "board": True, "title": "a", "readouts": [], "plots": plots})
    assert [plot["id"] for plot in panel.frame["plots"]] == ["steps", "epochs", "effective_lr"]
    panel.close()
