"""Inputs implied by batch norm in the explorer: offered where there are any, said, worked out once for both tabs."""

import pytest
import torch
from explorer.networks import DEPTHWISE, HEAD, STEM, WIDE, small_network, trained_network
from explorer.on_screen import curve_on_screen, weight_on_screen
from explorer.whole_network import batches
from torch import nn
from traitlets import TraitError

import lrexplore as lr
from lrexplore.explorer import samples
from lrexplore.explorer.real_inputs import IMPLIED, YOURS


@pytest.fixture
def explorer(sent, open_explorer):
    """The trained network with implied inputs on screen and all curves complete."""
    opened = open_explorer(trained_network(), loader=batches())
    opened.controls.inputs.value = IMPLIED
    assert opened.wait(120)
    return opened


def test_every_number_says_that_its_inputs_are_implied_and_by_what(explorer, tmp_path):
    frame = explorer.panel.frame
    captions = [plot["caption"] for plot in frame["plots"] if plot["id"] in ("error", "gain", "neurons")]
    notes = [item["note"] for item in frame["readouts"] if item["id"] in ("function_error", "saved")]
    for text in (frame["title"], *captions, *notes):
        assert "implied inputs" in text
        assert "Gaussian" not in text
    words = "1,024 drawn vectors, normal with the mean and covariance that the batch norms imply"
    assert words in frame["title"] and words in explorer.table().attrs["inputs"]
    assert set(explorer.table().inputs) == {"implied"}
    assert words in explorer.figure().layout.title.text
    assert explorer.layer_tab.picture().startswith(b"\x89PNG")
    assert words in explorer.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "above_floor" not in [item["id"] for item in frame["readouts"]]


@pytest.mark.parametrize("name", [STEM, WIDE, HEAD])
@pytest.mark.parametrize("initializer", ["spectral", "function", "implied", "whitened_centred"])
def test_the_curve_has_the_errors_of_the_factors_on_implied_inputs(explorer, name, initializer):
    explorer.state.layer, explorer.state.initializer = name, initializer
    assert explorer.wait(120)
    ranks, errors = curve_on_screen(explorer, initializer)
    entry = lr.implied_inputs(explorer.subject.model)[name]
    for rank in (1, int(ranks[len(ranks) // 2])):
        explorer.state.rank = rank
        expected = lr.input_error(
            weight_on_screen(explorer), explorer.factors(), entry, activation=explorer.state.activation
        )
        assert errors[ranks.tolist().index(rank)] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_factorized_model_is_fitted_to_implied_inputs(explorer):
    explorer.state.initializer = "implied"
    expected = lr.factorize(explorer.subject.model, ranks=explorer.ranks(), initializer="implied")
    with torch.no_grad():
        torch.testing.assert_close(
            explorer.factorized_model()(batches()[0]), expected(batches()[0]), atol=1e-5, rtol=1e-4
        )


def test_the_initializer_follows_the_inputs_that_it_is_fitted_to(explorer):
    options = explorer.controls.initializer.options
    assert "implied" in options and "whitened_plain" in options and "whitened" not in options
    assert explorer.controls.batch_norm.disabled
    with pytest.raises(TraitError, match="`initializer` must be one for implied inputs .* got 'whitened'.*'yours'"):
        explorer.state.initializer = "whitened"
    explorer.state.initializer = "implied"
    explorer.state.inputs = "gaussian"
    assert explorer.state.initializer == explorer.controls.initializer.value == "function"
    with pytest.raises(TraitError, match="must be one for Gaussian inputs .* got 'implied'.*'implied'"):
        explorer.state.initializer = "implied"
    explorer.state.inputs = YOURS
    assert explorer.wait(120)
    explorer.state.initializer = "whitened"
    explorer.state.inputs = IMPLIED
    assert explorer.state.initializer == "implied"
    with pytest.raises(TraitError, match="`batch_norm` must be True on implied inputs"):
        explorer.state.batch_norm = False


def test_a_network_whose_batch_norms_imply_nothing_does_not_offer_it(open_explorer):
    opened = open_explorer(small_network())
    assert [value for _, value in opened.controls.inputs.options] == ["gaussian", "yours"]
    with pytest.raises(TraitError, match="`inputs` must be gaussian or yours for this network, got 'implied'"):
        opened.state.inputs = IMPLIED


class Half(nn.Module):
    """Nothing is known of what comes out of its sort."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(16, 24), nn.BatchNorm1d(24), nn.Linear(24, 8)
        self.norm.running_mean += 0.1

    def forward(self, x):
        return self.last(torch.sort(self.norm(self.first(x)), 1).values)


def test_a_layer_without_implied_inputs_says_so_and_stays_gaussian(sent, open_explorer):
    opened = open_explorer(Half().eval())
    opened.state.assign(layer="last", inputs=IMPLIED)
    assert opened.wait(60)
    words = "Gaussian inputs: the batch norms imply nothing of what this layer is given"
    assert words in opened.panel.frame["title"] and words == opened.table().attrs["inputs"]
    assert set(opened.table().inputs) == {"gaussian"}
    opened.state.inputs = "gaussian"
    assert opened.panel.frame["title"].endswith("Gaussian inputs")
    opened.state.assign(layer="first", inputs=IMPLIED)
    assert "implied inputs" in opened.panel.frame["title"]


def test_what_batch_norms_imply_is_worked_out_once_for_both_tabs_and_all_inputs(open_explorer, monkeypatch):
    calls, work_out = [], samples.implied_inputs

    def counted(*arguments, **options):
        calls.append(options.get("layers"))
        return work_out(*arguments, **options)

    for module in ("lrexplore.explorer.samples", "lrexplore.calibration.leaning"):
        monkeypatch.setattr(f"{module}.implied_inputs", counted)
    opened = open_explorer(trained_network(), loader=batches(), groups=[0] * 12 + [1] * 12)
    opened.state.inputs, opened.state.tab = IMPLIED, "Network"
    page = opened.page("Network")
    assert opened.wait(120) and page.wait(120)
    assert page.state.inputs == YOURS
    page.state.inputs = IMPLIED
    opened.state.inputs = YOURS
    assert opened.wait(120) and page.wait(120)
    assert calls == [None]
    leaning = opened.subject.real.calibration
    assert 0 < leaning[WIDE].implied_share <= 1
    assert DEPTHWISE not in leaning


def test_the_origin_leans_as_the_library_does():
    model, loader, groups = trained_network(), batches(), [place // 12 for place in range(24)]
    origin = samples.Origin(loader=loader, groups=groups)
    ours = origin.calibrated(model, lambda *done: None)
    fit = origin.samples(model)
    expected = lr.calibrate(model, fit.fit, groups=fit.fit_groups)
    for name in expected:
        torch.testing.assert_close(ours[name].second_moment, expected[name].second_moment)
        assert ours[name].implied_share == pytest.approx(expected[name].implied_share)


def test_what_is_implied_can_be_cancelled_and_leaves_gaussian_inputs(sent, open_explorer, monkeypatch):
    opened = open_explorer(trained_network())
    assert opened.wait(60)

    def endless(model, progress):
        opened.panel._handle_custom_msg({"type": "cancel"}, [])
        progress(0, 2, WIDE)
        raise AssertionError("it went on")

    with monkeypatch.context() as patched:
        patched.setattr(samples, "implied_inputs", endless)
        opened.state.inputs = IMPLIED
        assert opened.wait(60)
    assert (opened.state.inputs, opened.state.inferred) == ("gaussian", False)
    assert "cancelled" in opened.panel.status
    told = []
    opened.state.observe(lambda change: told.append(change["new"]), names="status")
    opened.state.inputs = IMPLIED
    assert opened.wait(60)
    assert opened.state.inferred
    assert f"what batch norms imply of {WIDE}: 1 of 5" in told
