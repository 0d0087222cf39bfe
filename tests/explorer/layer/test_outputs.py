"""Tables and figures that outlive the explorer."""

from html import unescape

import numpy as np
import plotly.graph_objects as go
import pytest
from explorer.networks import STEM, WIDE, small_network

import lrexplore as lr
from lrexplore.explorer.layer.compute import Study
from lrexplore.explorer.layer.frame import build_frame
from lrexplore.explorer.layer.outputs import curve_table, plotly_figure
from lrexplore.explorer.layer.times import LayerTime
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.linalg import parameter_ratio

CHOICE = Choice(WIDE, "channel", "silu", False)


@pytest.fixture(scope="module")
def network():
    return Subject(small_network(), "small")


@pytest.fixture(scope="module")
def study(network):
    made = Study(network.problem(CHOICE), network.layers[WIDE].group_shape)
    for _ in made.fill("function", 1, lambda: False):
        pass
    return made


def test_the_table_has_the_public_error_curves(network, study):
    table = curve_table(network, study, CHOICE)
    weight = network.model.wide.weight
    for name in ("independent", "spectral", "rescaled", "function"):
        ours = table[table.initializer == name].reset_index(drop=True)
        theirs = lr.error_curve(weight, initializer=name, activation="silu", ranks=ours["rank"].tolist())
        np.testing.assert_allclose(ours.function_error, theirs.function_error, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(ours.frobenius_error, theirs.frobenius_error, rtol=1e-4, atol=1e-6)


def test_the_table_says_layer_scheme_costs_and_for_which_inputs(network, study):
    assert curve_table(network, study, CHOICE).time_ratio.isna().all()
    table = curve_table(network, study, CHOICE, LayerTime(np.array([1, 16]), np.array([1.0, 4.0]), 2.0, "8 inputs"))
    np.testing.assert_allclose(table.time_ratio, np.interp(table["rank"], [1, 16], [0.5, 2]))
    assert set(table.layer) == {WIDE}
    assert set(table.scheme) == {"channel"}
    expected = [parameter_ratio((16, 360), rank) for rank in table["rank"]]
    np.testing.assert_allclose(table.parameter_ratio, expected)
    assert table.flop_ratio.between(0, 10).all()
    assert table.attrs == {"inputs": "Gaussian inputs", "follows": "then SiLU"}


def test_the_figure_is_a_plain_one_with_every_trace_and_the_rank(network, study):
    frame = build_frame(network, study, CHOICE, "function")
    figure = plotly_figure(frame, 5, "net · wide · function · rank 5")
    assert type(figure) is go.Figure
    assert len(figure.data) == sum(len(plot["data"]) for plot in frame["plots"])
    assert "rank 5" in figure.layout.title.text
    over_ranks = sum(plot["rank_axis"] for plot in frame["plots"])
    assert [shape.x0 for shape in figure.layout.shapes] == [5] * over_ranks
    neurons = [trace for trace in figure.data if trace.mode == "markers"][-1]
    np.testing.assert_array_equal(neurons.y, study.neuron_table("function")[0][4])


def test_figures_axes_are_those_of_the_plots(network, study):
    frame = build_frame(network, study, CHOICE, "function")
    figure = plotly_figure(frame, 5, "net · wide · function · rank 5")
    titles = {axis.title.text for axis in figure.select_yaxes()}
    assert {plot["layout"]["yaxis"]["title"]["text"] for plot in frame["plots"]} <= titles
    assert "log" in {axis.type for axis in figure.select_yaxes()}


def test_the_figure_fits_a_page_two_plots_in_a_row_and_names_each_curve_once(network, study):
    frame = build_frame(network, study, CHOICE, "function")
    figure = plotly_figure(frame, 5, "net · wide · function · rank 5")
    assert len({axis.domain for axis in figure.select_xaxes()}) == 2
    assert figure.layout.width <= 1000
    named = [trace.name for trace in figure.data if trace.showlegend]
    assert len(set(named)) == len(named)
    assert {"spectral", "function", "energy kept", "as it is"} <= set(named)


def test_a_heading_is_broken_between_its_parts_and_shown_as_it_is(network, study):
    frame = build_frame(network, study, CHOICE, "function")
    parts = ["a $net$ of mine", "<b>wide</b> " + 40 * "x", "function at rank 5", 60 * "y"]
    shown = plotly_figure(frame, 5, " · ".join(parts)).layout.title.text.split("<br>")
    assert " · ".join(map(unescape, shown)) == " · ".join(parts)
    assert max(map(len, shown)) <= 130
    assert "$" not in "".join(shown)


def test_the_figure_leaves_pictures_out(network):
    choice = Choice(STEM, "channel", "relu", True)
    stem = Study(network.problem(choice), network.layers[STEM].group_shape)
    frame = build_frame(network, stem, choice, "spectral")
    assert len(plotly_figure(frame, 3, "net").layout.annotations) == len(frame["plots"]) - 1
