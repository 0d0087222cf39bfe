"""Real inputs in the explorer: what is shown is of them, says so, and is the public functions' own numbers."""

import numpy as np
import pytest
import torch
from explorer.networks import HEAD, STEM, WIDE, linear_network, small_network
from explorer.on_screen import curve_on_screen, weight_on_screen
from torch import nn
from traitlets import TraitError

import lrexplore as lr
from lrexplore.explorer import real_inputs
from lrexplore.explorer import samples as samples_room
from lrexplore.explorer.samples import Origin, Samples
from lrexplore.init.real import CorrectedFactors


def images(count=16):
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(8, 3, 12, 12, generator=generator) + 0.5 for _ in range(count // 8)]


@pytest.fixture
def real(sent, open_explorer):
    """An explorer with a calibration of WIDE's whole network, real inputs on screen and all curves complete."""
    model = small_network()
    explorer = open_explorer(model, calibration=lr.calibrate(model, images(32)))
    explorer.state.inputs = "yours"
    assert explorer.wait(120)
    return explorer


def test_whose_inputs_they_are_is_said_once(real):
    said = [text for text in words(real) if "held-out vectors of your calibration (32 inputs)" in text]
    assert said == [real.panel.frame["title"]]


def words(explorer):
    """Everything on screen that a person reads beside the numbers of function errors."""
    frame = explorer.panel.frame
    captions = [plot["caption"] for plot in frame["plots"] if plot["id"] in ("error", "gain", "neurons")]
    notes = [item["note"] for item in frame["readouts"] if item["id"] in ("function_error", "saved", "above_floor")]
    return [frame["title"], *captions, *notes]


def test_every_number_says_which_inputs_it_is_of(real):
    for text in words(real):
        assert "real inputs" in text
        assert "Gaussian" not in text
    assert set(real.table().inputs) == {"yours"}
    assert "real inputs" in real.table().attrs["inputs"]
    assert "real inputs" in real.figure().layout.title.text
    real.state.inputs = "gaussian"
    assert real.wait(120)
    for text in words(real):
        assert "Gaussian inputs" in text
        assert "real" not in text
    assert set(real.table().inputs) == {"gaussian"}


def test_no_floor_is_drawn_on_real_inputs(real):
    (plot,) = [plot for plot in real.panel.frame["plots"] if plot["id"] == "error"]
    assert "floor" not in [trace["name"] for trace in plot["data"]]
    assert "above_floor" not in [item["id"] for item in real.panel.frame["readouts"]]


@pytest.mark.parametrize(
    ("name", "scheme"), [(STEM, "channel"), (HEAD, "channel"), (WIDE, "channel"), (WIDE, "spatial")]
)
@pytest.mark.parametrize("initializer", ["spectral", "function", "whitened", "whitened_function"])
def test_the_curve_has_the_errors_of_the_factors_on_held_out_inputs(real, name, scheme, initializer):
    real.state.layer, real.state.scheme, real.state.initializer = name, scheme, initializer
    assert real.wait(120)
    ranks, errors = curve_on_screen(real, initializer)
    entry = real.subject.real.calibration[name]
    for rank in (1, int(ranks[len(ranks) // 2])):
        real.state.rank = rank
        factors = real.factors()
        expected = lr.input_error(weight_on_screen(real), factors, entry, activation=real.state.activation)
        assert errors[ranks.tolist().index(rank)] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_whitened_factors_are_those_of_initialize_with_their_bias(real):
    real.state.layer, real.state.initializer = WIDE, "whitened"
    entry = real.subject.real.calibration[WIDE]
    found = real.factors()
    expected = lr.initialize(
        weight_on_screen(real), real.state.rank, initializer="whitened", activation="silu", calibration=entry
    )
    assert isinstance(found, CorrectedFactors)
    torch.testing.assert_close(found.product(), expected.product(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.bias, expected.bias, atol=1e-5, rtol=1e-4)


def test_the_factorized_model_is_made_for_the_real_inputs(real):
    real.state.initializer = "whitened"
    made = real.factorized_model()
    expected = lr.factorize(
        real.subject.model, ranks=real.ranks(), initializer="whitened", calibration=real.subject.real.calibration
    )
    batch = images(8)[0]
    with torch.no_grad():
        torch.testing.assert_close(made(batch), expected(batch), atol=1e-5, rtol=1e-4)


def test_refined_is_studied_and_never_worse_than_spectral(real):
    real.state.layer, real.state.initializer = HEAD, "refined"
    assert real.wait(120)
    ranks, errors = curve_on_screen(real, "refined")
    assert len(ranks) == 6
    assert (errors <= curve_on_screen(real, "spectral")[1] + 1e-6).all()


def test_the_page_says_which_inputs_it_is_of(real, tmp_path):
    text = real.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "held-out vectors of your calibration" in text


def test_initializers_for_real_inputs_are_listed_only_where_these_are_on_screen(real):
    assert {"whitened", "refined"} <= set(real.controls.initializer.options)
    assert real.controls.batch_norm.disabled
    real.state.initializer = "whitened"
    real.state.inputs = "gaussian"
    assert real.state.initializer == real.controls.initializer.value == "function"
    assert "whitened" not in real.controls.initializer.options
    assert not real.controls.batch_norm.disabled
    with pytest.raises(TraitError, match=r"`initializer` must be one for Gaussian inputs .* got 'whitened'\. Set"):
        real.state.initializer = "whitened"


def test_the_batch_norm_of_real_inputs_is_the_models(real):
    with pytest.raises(TraitError, match="`batch_norm` must be True on real inputs"):
        real.state.batch_norm = False
    real.state.inputs = "gaussian"
    real.state.batch_norm = False
    real.state.inputs = "yours"
    assert real.state.batch_norm


def test_a_loader_is_calibrated_on_when_its_inputs_are_first_asked_for(sent, open_explorer):
    explorer = open_explorer(loader=images(16))
    assert explorer.wait(60)
    assert not explorer.state.calibrated
    told = []
    explorer.state.observe(lambda change: told.append(change["new"]), names="status")
    explorer.controls.inputs.value = "yours"
    assert explorer.wait(120)
    assert explorer.state.calibrated
    assert any("calibrating on your loader (12 inputs): 8 of 12" in text for text in told)
    assert "of your loader (12 inputs)" in explorer.panel.frame["title"]
    assert not explorer.panel.busy


def test_without_a_loader_the_inputs_are_crops_of_photographs_and_that_is_said(open_explorer):
    pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")
    explorer = open_explorer()
    explorer.state.inputs = "yours"
    assert explorer.wait(300)
    assert sum("32 crops of scikit-learn's two photographs" in text for text in words(explorer)) == 1
    assert "32 crops of scikit-learn's two photographs" in explorer.panel.frame["title"]
    assert [label for label, _ in explorer.controls.inputs.options] == ["gaussian", "sample photographs"]


def test_a_model_that_takes_no_photographs_says_what_is_missing_and_stays_as_it_was(sent, open_explorer):
    explorer = open_explorer(linear_network())
    assert explorer.wait(60)
    key = explorer.panel.frame["key"]
    explorer.controls.inputs.value = "yours"
    assert explorer.wait(60)
    assert "`loader` must be given for this network" in explorer.panel.error
    assert "lr.explore(model, loader=batches)" in explorer.panel.error
    assert (explorer.state.inputs, explorer.controls.inputs.value) == ("gaussian", "gaussian")
    assert explorer.panel.frame["key"] == key
    explorer.state.rank = 3
    assert explorer.panel.error == ""


def test_a_pass_can_be_cancelled_and_leaves_gaussian_inputs(sent, open_explorer, monkeypatch):
    explorer = open_explorer(loader=images(16))
    assert explorer.wait(60)
    batches = []

    def samples(origin, model):
        def endless():
            while True:
                batches.append(1)
                if len(batches) == 3:
                    explorer.panel._handle_custom_msg({"type": "cancel"}, [])
                yield images(8)[0]

        class Endless(list):
            def __iter__(self):
                return endless()

        return Samples(Endless(images(8)), [], 0, None, "your loader")

    monkeypatch.setattr(Origin, "samples", samples)
    for module in (real_inputs, samples_room):
        monkeypatch.setattr(module, "sum", lambda sizes: 8, raising=False)
    explorer.state.inputs = "yours"
    assert explorer.wait(60)
    assert (explorer.state.inputs, explorer.state.calibrated) == ("gaussian", False)
    assert len(batches) <= 4
    assert "cancelled" in explorer.panel.status


def test_a_layer_that_the_calibration_lacks_is_shown_on_gaussian_inputs(sent, open_explorer):
    model = small_network()
    explorer = open_explorer(model, calibration=lr.calibrate(model, images(16), layers=[WIDE]))
    explorer.state.layer, explorer.state.inputs = WIDE, "yours"
    explorer.state.initializer = "whitened"
    assert "real inputs" in explorer.panel.frame["title"]
    explorer.state.layer = HEAD
    assert "Gaussian inputs" in explorer.panel.frame["title"]
    assert explorer.state.initializer == "function"
    assert explorer.wait(60)


def test_a_calibration_of_another_network_is_refused():
    other = nn.Sequential(nn.Linear(5, 4))
    calibration = lr.calibrate(other, [torch.randn(16, 5)])
    with pytest.raises(ValueError, match="`calibration` must be"):
        lr.explore(linear_network(), calibration=calibration)
    with pytest.raises(TypeError, match="`calibration` must be what `lr.calibrate` returns, got a dict"):
        lr.explore(linear_network(), calibration={})


def test_nothing_of_the_real_inputs_is_computed_before_they_are_asked_for(explorer):
    assert explorer.subject.real.calibration is None
    assert np.isfinite(curve_on_screen(explorer, "function")[1]).all()


def test_the_picker_of_the_inputs_says_whose_a_calibration_is(real):
    assert [label for label, _ in real.controls.inputs.options] == ["gaussian", "yours: your calibration (32 inputs)"]
