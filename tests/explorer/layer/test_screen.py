"""What is on the panel: one message a step, the right numbers, bounded memory."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from explorer.networks import GROUPED, HEAD, POINT, STEM, WIDE, linear_network
from explorer.on_screen import curve_on_screen, weight_on_screen

import lrexplore as lr
from lrexplore.explorer.layer.screen import MAX_STUDIES


@pytest.mark.parametrize("initializer", ["independent", "spectral", "rescaled", "function", "sampled"])
def test_the_curve_on_screen_has_the_errors_of_the_explorers_factors(open_explorer, initializer):
    explorer = open_explorer()
    explorer.state.layer = HEAD
    explorer.state.initializer = initializer
    assert explorer.wait(120)
    ranks, errors = curve_on_screen(explorer, initializer)
    assert ranks.tolist() == list(range(1, 7))
    table = explorer.table().set_index(["initializer", "rank"])
    for rank, error in zip(ranks, errors, strict=True):
        explorer.state.rank = int(rank)
        factors, weight = explorer.factors(), weight_on_screen(explorer)
        assert factors.rank == rank
        function = lr.function_error(weight, factors, activation="identity")
        assert error == pytest.approx(function, rel=2e-4, abs=2e-6)
        assert table.function_error[initializer, rank] == pytest.approx(function, rel=2e-4, abs=2e-6)
        frobenius = lr.frobenius_error(weight, factors)
        assert table.frobenius_error[initializer, rank] == pytest.approx(frobenius, rel=2e-4, abs=2e-6)


def test_a_chosen_activation_changes_the_errors_and_is_the_one_measured(explorer):
    relu = curve_on_screen(explorer, "spectral")[1]
    explorer.state.batch_norm = False
    explorer.state.activation = "tanh"
    ranks, errors = curve_on_screen(explorer, "spectral")
    assert np.abs(errors - relu).max() > 0.01
    expected = lr.function_error(weight_on_screen(explorer), explorer.factors(), activation="tanh")
    explorer.state.initializer = "spectral"
    spectral = lr.function_error(weight_on_screen(explorer), explorer.factors(), activation="tanh")
    assert errors[explorer.state.rank - 1] == pytest.approx(spectral, rel=1e-4)
    assert expected <= spectral + 1e-6


@pytest.mark.parametrize("name", [STEM, GROUPED, POINT])
def test_the_spatial_scheme_measures_spatial_factors(open_explorer, name):
    explorer = open_explorer()
    explorer.state.layer, explorer.state.scheme = name, "spatial"
    explorer.state.batch_norm = False
    assert explorer.wait(60)
    ranks, errors = curve_on_screen(explorer, "function")
    at = ranks.tolist().index(explorer.state.rank)
    expected = lr.function_error(weight_on_screen(explorer), explorer.factors(), activation=explorer.state.activation)
    assert errors[at] == pytest.approx(expected, rel=2e-4, abs=2e-6)


def test_no_figure_widget_is_ever_made(open_explorer, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a FigureWidget was made")

    monkeypatch.setattr(go.FigureWidget, "__init__", refuse)
    explorer = open_explorer()
    explorer._repr_mimebundle_()
    explorer.figure()
    explorer.state.layer = WIDE
    assert explorer.wait(60)


def test_studies_of_layers_seen_are_kept_and_their_number_is_bounded(open_explorer):
    explorer = open_explorer(linear_network())
    *_, last = names = list(lr.ACTIVATIONS)
    for activation in names:
        for norm in (False, True):
            explorer.state.activation, explorer.state.batch_norm = activation, norm
    assert len(explorer.layer_tab._screen._studies) == MAX_STUDIES
    study = explorer.layer_tab.study()
    explorer.state.activation = "relu"
    explorer.state.activation = last
    assert explorer.layer_tab.study() is study


def test_resnet50_comes_on_screen_within_two_megabytes(sent, open_explorer):
    explorer = open_explorer("resnet50")
    explorer.layer_tab._on_cancel()
    bundle = explorer._repr_mimebundle_()
    picture = sum(len(json.dumps(value)) for value in bundle.values())
    assert sent.num_bytes + picture <= 1_000_000
    assert len(explorer.subject.names) == 54


def test_another_form_is_drawn_against_its_cost_beside_factor_pairs(open_explorer):
    explorer = open_explorer()
    explorer.state.layer = WIDE
    explorer.state.form = "tucker"
    assert explorer.wait(120) and not explorer.panel.error
    plot = next(plot for plot in explorer.layer_tab._current_frame()["plots"] if plot["id"] == "form")
    pairs, pairs_flops, form, form_flops = plot["data"]
    assert len(form["x"]) >= 2 and (np.diff(form["x"]) >= 0).all() and form["x"].max() < 1
    assert len(form_flops["x"]) == len(form["x"]) == len(form["text"])
    module = explorer.subject.model.get_submodule(WIDE)
    total = module.weight.numel() + module.bias.numel()
    ranks = tuple(map(int, form["text"][1].removeprefix("ranks ").split(", ")))
    small = lr.factorize(explorer.subject.model, form="tucker", ranks={WIDE: ranks}).get_submodule(WIDE)
    assert form["x"][1] == pytest.approx(sum(p.numel() for p in small.parameters()) / total)
    product = small.weight.detach().flatten(1)
    made = lr.Factors(torch.eye(len(product)), product)
    activation = explorer.state.activation
    assert form["y"][1] == pytest.approx(lr.function_error(module.weight, made, activation=activation), rel=1e-3)
    m, n = 16, 40 * 9
    assert pairs["x"][0] == pytest.approx((m + n) / (m * n))
    assert len(pairs["x"]) and len(pairs_flops["x"])
    explorer.state.layer = HEAD  # a matrix, which has no such form
    assert all(plot["id"] != "form" for plot in explorer.panel.frame["plots"])
    assert explorer.controls.form.disabled and explorer.state.form == "tucker"
    explorer.state.layer = WIDE
    assert any(plot["id"] == "form" for plot in explorer.panel.frame["plots"])
    explorer.figure(), explorer.layer_tab.picture()
