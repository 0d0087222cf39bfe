import pytest
import torch
from torch import nn

from lrexplore.calibration import calibrate
from lrexplore.dual import function_error
from lrexplore.init import Problem, each_rank, initialize
from lrexplore.init.real import input_error
from lrexplore.init.real.input_curves import input_errors
from lrexplore.linalg.digest import digest
from lrexplore.network import batch_norm_of, find_layers, weights_of
from lrexplore.ranks import GAUSSIAN, YOURS, cache_folder, layer_curves


def test_gaussian_curves_are_the_exact_function_errors(model):
    layers = find_layers(model)
    curves = layer_curves(model, layers, initializer="spectral", schemes=("channel", "spatial"))
    for layer in layers:
        [weight] = weights_of(model, layer)
        follows = {"activation": layer.follows.activation, "batch_norm": batch_norm_of(model, layer)}
        for scheme in ("channel", "spatial"):
            curve = curves.get((layer.name, scheme))
            if curve is None:
                assert layer.kernel_size[0] == 1 and scheme == "spatial"
                continue
            assert curve.inputs == GAUSSIAN
            factors = initialize(weight, 4, initializer="spectral", scheme=scheme, **follows)
            assert curve.error(4) == pytest.approx(function_error(weight, factors, **follows), rel=1e-4)
            assert (curve.errors[1:] <= curve.errors[:-1]).all()


def test_curves_on_real_inputs_are_the_errors_on_the_held_out_ones(model, images):
    calibration, layers = calibrate(model, images), find_layers(model)
    curves = layer_curves(model, layers, initializer="whitened", calibration=calibration)
    for layer in layers:
        curve, [weight] = curves[layer.name, "channel"], weights_of(model, layer)
        assert curve.inputs == YOURS
        entry, activation = calibration[layer.name], layer.follows.activation
        factors = initialize(weight, 3, initializer="whitened", activation=activation, calibration=entry)
        assert curve.error(3) <= input_error(weight, factors, entry, activation=activation) * (1 + 1e-4)


@pytest.mark.parametrize("initializer", ["function", "whitened"])
def test_ranks_between_two_points_have_nearly_the_error_that_is_measured_there(initializer):
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(60, 60), nn.ReLU()).eval()
    calibration = calibrate(wide, torch.randn(2048, 60).split(256)) if initializer == "whitened" else None
    curve = layer_curves(wide, find_layers(wide), initializer=initializer, calibration=calibration)["0", "channel"]
    between = [rank for rank in range(1, 60) if rank not in curve.measured][::6] + [57, 59]
    for rank in between:
        problem = Problem.of(wide[0].weight.detach(), "channel", "relu", None)
        if calibration is None:
            [point] = each_rank(problem, initializer, [rank])
            measured = float(point.function_error)
        else:
            measured = float(input_errors(problem, initializer, [rank], calibration["0"]))
        # Eight points: a chord in the logarithm lies up to a sixth below, a straight one to the 0 at the end above.
        assert 0.8 * measured <= curve.error(rank) <= 1.5 * measured + 0.01


def _count_computed(monkeypatch):
    from lrexplore.ranks import network_curves as curves

    computed, compute = [], curves._points
    monkeypatch.setattr(curves, "_points", lambda *args: computed.append(1) or compute(*args))
    return computed


def test_a_second_look_computes_nothing_and_a_changed_weight_does(model, monkeypatch):
    computed, layers = _count_computed(monkeypatch), find_layers(model)
    first = layer_curves(model, layers, initializer="spectral")
    assert len(computed) == len(first)
    again = layer_curves(model, layers, initializer="spectral")
    assert len(computed) == len(first)
    assert all((first[key].errors == again[key].errors).all() for key in first)
    model[7].weight.data[0, 0] += 1
    layer_curves(model, layers, initializer="spectral")
    assert len(computed) == len(first) + 1


def test_other_inputs_or_another_initializer_are_other_curves(model, images, monkeypatch):
    computed, layers = _count_computed(monkeypatch), find_layers(model)
    for loader in (images, [images[0] * 2]):
        layer_curves(model, layers, initializer="spectral", calibration=calibrate(model, loader))
    layer_curves(model, layers, initializer="whitened", calibration=calibrate(model, images))
    assert len(computed) == 3 * 4


def test_a_damaged_file_is_computed_again(model, monkeypatch):
    computed, layers = _count_computed(monkeypatch), find_layers(model)
    layer_curves(model, layers, initializer="spectral")
    for path in (cache_folder() / "curves").iterdir():
        path.write_bytes(b"damaged")
    layer_curves(model, layers, initializer="spectral")
    assert len(computed) == 2 * len(layers)


def test_a_folder_that_cannot_be_written_only_costs_time(model, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LREXPLORE_CACHE", str(tmp_path / "file"))
    assert layer_curves(model, find_layers(model), initializer="spectral")


def test_the_hash_tells_values_shapes_and_types_apart():
    x = torch.arange(6.0)
    others = [x + 1, x.view(2, 3), x.double(), x.flip(0)]
    assert len({digest(t) for t in (x, *others)}) == 5
    assert digest(x, "a") == digest(x.clone(), "a") != digest(x, "b")
