"""Plots of a layer: spectrum, neurons, filters."""

import numpy as np
import pytest

from lrexplore.explorer.layer.figures import filter_plot, neuron_plot, spectrum_plot

VALUES = np.array([4.0, 2.0, 1.0, 0.5])
ENERGY = (VALUES**2).cumsum() / (VALUES**2).sum()
LAW = np.array([3.0, 2.5, 1.5, 1.0])
NORMS, NEURONS = np.array([1.0, 2.0, 3.0]), np.array([0, 4, 7])


def tables(*names):
    return {name: (np.full((2, 3), 0.1 * (i + 1)), np.full((2, 3), 0.5 * (i + 1))) for i, name in enumerate(names)}


def test_the_spectrum_holds_values_law_and_energy():
    plot = spectrum_plot(VALUES, ENERGY, LAW, True, 1.3)
    shown = {trace["name"]: trace for trace in plot["data"]}
    np.testing.assert_allclose(shown["singular values"]["y"], VALUES)
    np.testing.assert_allclose(shown["energy kept"]["y"], ENERGY, rtol=1e-6)
    np.testing.assert_allclose(shown["random draw (Marchenko-Pastur)"]["y"], LAW)
    assert shown["energy kept"]["yaxis"] == "y2"
    assert plot["kept"]
    assert "Stable rank 1.3" in plot["caption"]


@pytest.mark.parametrize(("fits", "visible"), [(True, True), (False, "legendonly")])
def test_the_law_is_drawn_where_the_layer_is_a_random_draw(fits, visible):
    plot = spectrum_plot(VALUES, ENERGY, LAW, fits, 1.3)
    assert plot["data"][1]["visible"] == visible
    assert ("Not a random draw" in plot["caption"]) != fits


@pytest.mark.parametrize("values", [VALUES, np.array([1.0, 1e-9, 0.0]), np.zeros(3), np.array([2.0])])
def test_the_log_axis_can_hold_every_value_drawn(values):
    plot = spectrum_plot(values, np.ones(len(values)), np.zeros(len(values)), False, 1.0)
    low, high = plot["layout"]["yaxis"]["range"]
    assert np.isfinite([low, high]).all()
    assert low < high
    assert (plot["data"][0]["y"] > 0).all()
    assert np.log10(plot["data"][0]["y"][0]) <= high


def test_spectral_is_rings_beside_another_initializer_and_filled_alone():
    both = neuron_plot(NORMS, NEURONS, tables("spectral", "function"), 8, "Gaussian")
    alone = neuron_plot(NORMS, NEURONS, tables("spectral"), 8, "Gaussian")
    assert both["data"][0]["marker"]["symbol"].endswith("-open")
    assert not both["data"][1]["marker"]["symbol"].endswith("-open")
    assert not alone["data"][0]["marker"]["symbol"].endswith("-open")


def test_neurons_keep_their_own_numbers_and_the_caption_says_that_some_are_missing():
    plot = neuron_plot(NORMS, NEURONS, tables("spectral"), 8, "Gaussian")
    assert plot["data"][0]["text"] == ["neuron 0", "neuron 4", "neuron 7"]
    assert plot["caption"].startswith("3 of 8 neurons")
    whole = neuron_plot(NORMS, np.arange(3), tables("spectral"), 3, "Gaussian")
    assert whole["caption"].startswith("ρ")


def test_areas_share_one_scale():
    plot = neuron_plot(NORMS, NEURONS, tables("spectral", "function"), 8, "Gaussian")
    scales = {trace["marker"]["sizeref"] for trace in plot["data"]}
    assert len(scales) == 1
    assert all(trace["marker"]["sizemode"] == "area" for trace in plot["data"])


def test_every_table_belongs_to_a_trace():
    plot = neuron_plot(NORMS, NEURONS, tables("spectral", "function"), 8, "Gaussian")
    assert [(entry["trace"], entry["attribute"]) for entry in plot["by_rank"]] == [
        (0, "y"), (0, "marker.size"), (1, "y"), (1, "marker.size"),
    ]  # fmt: skip


def test_neurons_of_one_norm_and_no_loss_still_have_axes():
    none = {"spectral": (np.zeros((1, 3)), np.zeros((1, 3)))}
    plot = neuron_plot(np.full(3, 2.0), NEURONS, none, 3, "Gaussian")
    low, high = plot["layout"]["xaxis"]["range"]
    assert low < 2 < high
    assert plot["data"][0]["marker"]["sizeref"] > 0


def test_filters_are_one_picture_before_and_one_a_rank_after():
    before, after = np.zeros((5, 5, 3), np.uint8), np.ones((2, 5, 5, 3), np.uint8)
    plot = filter_plot(before, after, "function")
    assert plot["kind"] == "images"
    assert plot["images"][0]["values"] is before
    assert plot["images"][1]["by_rank"] is after
    assert "function" in plot["caption"]
    plot = filter_plot(before, after[0], "function")
    assert (plot["images"][1]["values"] == after[0]).all()
    assert "by_rank" not in plot["images"][1]
