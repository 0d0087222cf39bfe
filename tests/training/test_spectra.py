"""What a run records of its spectra: equal to what one finds by hand in its checkpoint, and no number of it changes."""

import numpy as np
import pytest
import torch
from torch import nn
from training.runs import numbers, same_weights, tiny

import lrexplore as lr
from lrexplore.network import batch_norm_of, collapse, find_layers
from lrexplore.nn import factorized_layers
from lrexplore.records import Run
from lrexplore.records.spectra import CUTS
from lrexplore.training.run import run
from lrexplore.training.spectra.layer_spectra import measure, recorded_layers, snapshot
from lrexplore.training.spectra.recorder import SpectraRecorder


def matrices(model, layer, scheme="channel"):
    """The layer's matrices by hand, one a group, from a network without factors."""
    for kernel in model.get_submodule(layer.name).weight.detach().double().chunk(layer.groups):
        m, n = layer.matrix_shape(scheme)
        yield (kernel.permute(0, 2, 1, 3) if scheme == "spatial" else kernel).reshape(m, n), kernel


@pytest.mark.parametrize(
    "choices",
    [{"rank_scale": None}, {"rank_scale": 0.3}, {"rank_scale": 0.3, "scheme": "spatial"}],
    ids=["unfactorized", "factorized", "spatial"],
)
def test_recorded_errors_are_those_of_cuts_by_hand_from_the_checkpoint_of_that_step(tmp_path, choices):
    config = tiny(tmp_path, "a", steps=3, spectra_steps=1, initializer="spectral", **choices)
    run(config)
    trained = lr.load(tmp_path / "a")
    model, factorized = collapse(trained), factorized_layers(trained)
    table = Run(tmp_path / "a").spectra()
    assert sorted(set(table["step"])) == [0, 1, 2, 3]
    last = table[table["step"] == 3].set_index("layer")
    layers = {layer.name: layer for layer in find_layers(model)}
    assert len(last) == len(layers) and (bool(factorized) == (config.rank_scale is not None))
    for name in [*factorized, *layers][::4]:
        layer, row = layers[name], last.loc[name]
        default = config.scheme if layer.kind == "conv" else "channel"
        scheme = getattr(factorized[name], "scheme", "channel") if name in factorized else default
        [(matrix, weight)] = matrices(model, layer, scheme)
        values = torch.linalg.svdvals(matrix)[: factorized[name].rank if name in factorized else None]
        np.testing.assert_allclose(row["singular_values"], values, rtol=1e-5, atol=1e-7 * float(values[0]))
        assert (row["num_values"], row["full_rank"]) == (len(values), min(matrix.shape))
        assert row["stable_rank"] == pytest.approx(float(values.square().sum() / values[0] ** 2), rel=1e-6)
        norm = batch_norm_of(model, layer)
        for scale in CUTS:
            rank = max(1, int(scale * min(matrix.shape) + 0.5))
            cut = lr.initialize(weight, rank=rank, initializer="spectral", scheme=scheme)
            by_hand = lr.function_error(weight, cut, activation=layer.follows.activation, batch_norm=norm)
            assert row[f"function_error_{scale:g}"] == pytest.approx(by_hand, rel=1e-5, abs=1e-9)
            frobenius = lr.frobenius_error(weight, cut)
            assert row[f"frobenius_error_{scale:g}"] == pytest.approx(frobenius, rel=1e-5, abs=1e-9)


def test_recording_changes_no_number_of_a_run(tmp_path):
    runs = [tiny(tmp_path, f"{on}", steps=3, record_spectra=on, **({"spectra_steps": 1} if on else {}))
            for on in (True, False)]  # fmt: skip
    for config in runs:
        run(config)
    assert numbers(runs[0]) == numbers(runs[1])
    assert same_weights(*runs)
    assert Run(tmp_path / "False").spectra().empty


def test_a_run_that_was_stopped_has_every_moment_once(tmp_path):
    whole, parts = (tiny(tmp_path, name, steps=4, spectra_steps=2) for name in ("whole", "parts"))
    run(whole)
    left = [3]

    def stop():
        left[0] -= 1
        return left[0] < 0

    assert run(parts, should_stop=stop) == "stopped"
    run(parts)
    first, second = (Run(tmp_path / name).spectra() for name in ("whole", "parts"))
    assert first["step"].unique().tolist() == [0, 2, 4]
    assert first.drop(columns=["ranks", "singular_values"]).equals(second.drop(columns=["ranks", "singular_values"]))
    assert all(map(np.array_equal, first["singular_values"], second["singular_values"]))


def test_a_grouped_convolution_has_the_values_of_all_its_groups_and_the_mean_of_their_errors():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 32, 3, groups=2), nn.BatchNorm2d(32), nn.ReLU(), nn.Linear(4, 4))
    nn.init.normal_(model[1].bias)
    layer = recorded_layers(model)[0]
    found, pairs = measure(snapshot(model, layer, "channel")), list(matrices(model, layer))
    values = torch.cat([torch.linalg.svdvals(matrix) for matrix, _ in pairs]).sort(descending=True).values
    np.testing.assert_allclose(found["values"], values, rtol=1e-6)
    errors = []
    for k, (_, kernel) in enumerate(pairs):
        norm = lr.BatchNorm(model[1].weight.detach().chunk(2)[k], model[1].bias.detach().chunk(2)[k])
        cut = lr.initialize(kernel, rank=4, initializer="spectral")
        errors.append(lr.function_error(kernel, cut, batch_norm=norm))
    assert found["function_error_0.25"] == pytest.approx(sum(errors) / 2, rel=1e-6)


def test_weights_that_are_no_numbers_are_recorded_as_unknown():
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU())
    model[0].weight.data[0, 0] = float("nan")
    found = measure(snapshot(model, recorded_layers(model)[0], "channel"))
    assert found["num_values"] == 6 == len(found["values"])
    assert np.isnan(found["values"]).all() and np.isnan(found["function_error_0.1"])


def test_a_layer_of_zeros_loses_nothing():
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU())
    model[0].weight.data.zero_()
    found = measure(snapshot(model, recorded_layers(model)[0], "channel"))
    assert found["values"] == [0.0] * 6 and found["function_error_0.1"] == found["frobenius_error_0.1"] == 0


def test_beside_a_training_the_layers_are_measured_as_they_were_when_taken():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 10))
    model = lr.factorize(model, ranks={"0": 3}, initializer="spectral")
    at_once, beside = (SpectraRecorder(model, "channel", torch.device(kind)) for kind in ("cpu", "cuda"))
    for step in (0, 1, 2):
        at_once.take(step, 1)
        beside.take(step, 1)
        for parameter in model.parameters():
            parameter.data.mul_(1.7).add_(0.1)
    assert list(beside.rows(wait=True)) == list(at_once.rows(wait=True))
    assert beside.names == ["0", "3"]
    beside.close()
