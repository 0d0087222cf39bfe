"""Plots over ranks: which trace is which, what they hold, and what an update touches."""

import numpy as np
import pytest

from lrexplore.explorer.layer.compute import Curve
from lrexplore.explorer.layer.figures import (
    NO_GAIN,
    at_rank,
    error_plot,
    error_updates,
    gain_plot,
    gain_updates,
    neuron_plot,
)
from lrexplore.init import INITIALIZERS, REAL_INPUTS
from lrexplore.theory.styles import METHOD_STYLES, STYLES

RANKS = np.array([1, 2, 4, 8])
NAMES = tuple(INITIALIZERS)
DRAWN = ("independent", "spectral", "rescaled", "function")
FLOOR = np.zeros(0), np.zeros(0)


def errors(curves, inputs="Gaussian"):
    return error_plot(curves, NAMES, DRAWN, 8, inputs, FLOOR)


def gains(curves, inputs="Gaussian"):
    return gain_plot(curves, NAMES, DRAWN, 8, inputs, "A remark.")


def curve(level, ranks=RANKS):
    return Curve(ranks, level - 0.05 * np.log2(ranks), 1 - ranks / 16)


@pytest.fixture
def curves():
    return {name: curve(level) for name, level in (("independent", 1.3), ("spectral", 0.6), ("rescaled", 0.55))}


def traces(plot, name):
    return [trace for trace in plot["data"] if trace["name"] == name]


def test_every_initializer_has_its_own_color_and_marker():
    assert set(STYLES) == {*INITIALIZERS, *REAL_INPUTS}
    for part in zip(*STYLES.values(), strict=True):
        assert len(set(part)) == len(STYLES)


def test_no_two_names_of_any_kind_share_a_color():
    colors = [style[0] for styles in (STYLES, METHOD_STYLES) for style in styles.values()]
    assert len({color.upper() for color in colors}) == len(colors)


def test_an_initializer_has_a_solid_function_error_and_a_dashed_frobenius_error(curves):
    solid, dashed = traces(errors(curves), "spectral")
    assert (solid["line"]["dash"], dashed["line"]["dash"]) == ("solid", "dash")
    np.testing.assert_allclose(solid["y"], curves["spectral"].function_error, rtol=1e-6)
    np.testing.assert_allclose(dashed["y"], curves["spectral"].frobenius_error, rtol=1e-6)
    assert solid["line"]["color"] == dashed["line"]["color"] == STYLES["spectral"][0]
    assert [solid["showlegend"], dashed["showlegend"]] == [True, False]


def test_a_curve_that_is_not_known_yet_has_its_place_and_no_points(curves):
    plot = errors(curves)
    assert len(plot["data"]) == 2 * len(NAMES) + 3  # the last are the floor and what the dashes mean
    assert [len(trace["x"]) for trace in traces(plot, "function")] == [0, 0]
    assert [len(trace["x"]) for trace in traces(gains(curves), "function")] == [0]


def test_only_curves_that_are_there_or_will_come_have_a_place_in_the_legend(curves):
    for plot in (errors, gains):
        shown = {trace["name"] for trace in plot(curves)["data"] if trace.get("meta") != "key" and trace["visible"]}
        assert shown <= set(DRAWN)
        assert "function" in shown


def test_gains_are_differences_from_spectral_in_percent_where_both_are_known(curves):
    curves["function"] = curve(0.5, np.array([2, 3, 8]))
    (trace,) = traces(gains(curves), "function")
    np.testing.assert_array_equal(trace["x"], [2, 8])
    np.testing.assert_allclose(trace["y"], [-10, -10], rtol=1e-5)


def test_the_gain_axis_holds_its_curves_and_zero(curves):
    curves["function"] = curve(0.5)
    plot = gains(curves)
    low, high = plot["layout"]["yaxis"]["range"]
    values = np.concatenate([trace["y"] for trace in plot["data"]])
    assert low < values.min() <= values.max() < high
    assert low < 0 < high


def test_one_curve_that_loses_much_does_not_flatten_those_that_gain(curves):
    curves["sampled"] = curve(40.0)
    low, high = gains(curves)["layout"]["yaxis"]["range"]
    assert -7 < low < -5 and 0 < high < 20, "rescaled gains 5 % of the output energy, sampled loses 3,940 %"


def test_rounding_is_not_drawn_as_a_gain(curves):
    curves["rescaled"] = Curve(RANKS, curves["spectral"].function_error + 1e-7 * (-1) ** RANKS, RANKS / 16)
    plot = gains(curves)
    assert not np.concatenate([trace["y"] for trace in plot["data"]]).any()
    low, high = plot["layout"]["yaxis"]["range"]
    assert low <= -0.01 and high >= 0.01


def test_the_legend_says_what_solid_and_dashed_mean(curves):
    key = [trace for trace in errors(curves)["data"] if trace.get("meta") == "key"]
    assert [(trace["name"], trace["line"]["dash"]) for trace in key] == [
        ("function error", "solid"),
        ("Frobenius error", "dash"),
    ]
    assert all(np.isnan(trace["y"]).all() for trace in key)


@pytest.mark.parametrize(("plot", "updates"), [(errors, error_updates), (gains, gain_updates)], ids=["errors", "gains"])
def test_an_update_gives_what_the_plot_drawn_afresh_has(curves, plot, updates):
    before = plot(curves)
    curves["function"] = curve(0.5)
    after = plot(curves)
    for place, change in updates(curves, NAMES, "function").items():
        before["data"][int(place)].update(change)
    for old, new in zip(before["data"], after["data"], strict=True):
        assert old["name"] == new["name"]
        np.testing.assert_array_equal(old["x"], new["x"])
        np.testing.assert_allclose(old["y"], new["y"], rtol=1e-6)


def test_an_update_touches_no_other_initializer(curves):
    names = [trace["name"] for trace in errors(curves)["data"]]
    assert {names[int(place)] for place in error_updates(curves, NAMES, "rescaled")} == {"rescaled"}
    names = [trace["name"] for trace in gains(curves)["data"]]
    assert not set(names) & set(NO_GAIN)
    assert {names[int(place)] for place in gain_updates(curves, NAMES, "rescaled")} == {"rescaled"}


def test_what_becomes_known_of_spectral_moves_every_gain_that_is_known(curves):
    names = [trace["name"] for trace in gains(curves)["data"]]
    curves["function"] = curve(0.5)
    assert {names[int(place)] for place in gain_updates(curves, NAMES, "spectral")} == {"rescaled", "function"}
    del curves["spectral"]
    assert [len(change["x"]) for change in gain_updates(curves, NAMES, "function").values()] == [0]


def test_where_nothing_is_proved_no_floor_is_drawn_and_none_is_spoken_of(curves):
    plot = error_plot(curves, NAMES, DRAWN, 8, "real inputs")
    assert "floor" not in [trace["name"] for trace in plot["data"]]
    assert "proved" not in plot["caption"]
    assert "proved" in errors(curves)["caption"]


def test_what_is_a_function_error_says_for_which_inputs(curves):
    for plot in (errors, gains):
        assert "these inputs" in plot(curves, "these inputs")["caption"]


def test_a_plot_at_a_rank_has_the_rows_of_the_nearest_rank_of_the_table():
    rho, loss = np.arange(12.0).reshape(4, 3), np.arange(12.0).reshape(4, 3) / 7
    plot = neuron_plot(np.ones(3), np.arange(3), {"spectral": (rho, loss)}, 3, "Gaussian")
    for rank, row in ((1, 0), (4, 2), (5, 2), (7, 3), (100, 3)):
        (trace,) = at_rank(plot, RANKS, rank)
        np.testing.assert_array_equal(trace["y"], rho[row])
        np.testing.assert_array_equal(trace["marker"]["size"], loss[row])
    np.testing.assert_array_equal(plot["data"][0]["y"], rho[0])
    np.testing.assert_array_equal(plot["data"][0]["marker"]["size"], loss[0])
