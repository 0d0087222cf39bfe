import json

import pytest
import torch
from torch import nn

from lrexplore.linalg import rank_from_scale
from lrexplore.network import find_layers, replace_layers
from lrexplore.ranks import RankPlan, allocate, layer_curves, sensitivities
from lrexplore.ranks import sensitivity as measuring


def _curves(model, scheme="channel"):
    layers = find_layers(model, torch.zeros(1, 3, 12, 12))
    return layers, layer_curves(model, layers, initializer="spectral", schemes=(scheme,))


def _divergence(model, other, batches):
    with torch.no_grad():
        logs = [[net(batch).double().log_softmax(1) for batch in batches] for net in (model, other)]
    old, new = (torch.cat(parts) for parts in logs)
    return float((old.exp() * (old - new)).sum(1).mean())


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_a_weight_times_the_error_is_the_divergence_of_that_layer_alone(model, images, scheme):
    layers, curves = _curves(model, scheme)
    weights = sensitivities(model, layers, curves, images, initializer="spectral")
    assert list(weights) == [name for name, _ in curves]
    for layer in layers:
        rank = rank_from_scale(layer.matrix_shape(scheme), 0.25)
        alone = replace_layers(model, ranks={layer.name: rank}, scheme={layer.name: scheme}, initializer="spectral")
        moved = weights[layer.name] * curves[layer.name, scheme].error(rank)
        assert moved == pytest.approx(_divergence(model, alone, images), rel=1e-4)


def test_a_kernel_whose_spatial_matrix_is_smaller_is_measured_at_a_rank_of_that():
    model = nn.Sequential(nn.Conv2d(1, 64, 7, padding=3), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 64, 5)).eval()
    layers = find_layers(model, torch.zeros(1, 1, 8, 8))
    curves = layer_curves(model, layers, initializer="spectral", schemes=("spatial",))
    images = [torch.randn(4, 1, 8, 8)]
    assert sensitivities(model, layers, curves, images, initializer="spectral")["0"] > 0


def test_what_was_interrupted_goes_on_where_it_stopped(model, images, monkeypatch):
    layers, curves = _curves(model)
    made = []
    monkeypatch.setattr(
        measuring, "replace_layers", lambda model, **options: made.append(options) or replace_layers(model, **options)
    )

    def stop_at_the_third(done, total, name):
        if done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        sensitivities(model, layers, curves, images, initializer="spectral", progress=stop_at_the_third)
    assert len(made) == 3
    found = sensitivities(model, layers, curves, images, initializer="spectral")
    assert [list(options["ranks"]) for options in made[3:]] == [[layer.name] for layer in layers[2:]]
    made.clear()
    assert sensitivities(model, layers, curves, images, initializer="spectral") == found
    assert made == []
    sensitivities(model, layers, curves, images[:1], initializer="spectral")
    assert len(made) == len(layers)
    made.clear()
    model[9].bias.data[0] += 1
    sensitivities(model, layers, curves, images, initializer="spectral")
    assert len(made) == len(layers)


def test_a_plan_says_what_its_layers_count(model, images):
    plain = allocate(model, parameter_ratio=0.5, initializer="spectral")
    weighed = allocate(model, parameter_ratio=0.5, initializer="spectral", loader=images)
    given = allocate(model, parameter_ratio=0.5, initializer="spectral", weights={"0": 2.0})
    assert [plan.weights for plan in (plain, weighed, given)] == ["plain", "sensitivity (inputs and noise)", "given"]
    for plan in (plain, weighed, given):
        assert RankPlan.from_json(plan.to_json()) == plan
        assert f"{plan.weights} weights" in str(plan)


def test_a_plan_of_before_weights_were_recorded_says_only_what_it_knows(model):
    for weights, said in ((None, "plain"), ({"0": 2.0}, "given")):
        plan = allocate(model, parameter_ratio=0.5, initializer="spectral", weights=weights)
        values = json.loads(plan.to_json())
        del values["weights"]
        assert RankPlan.from_json(json.dumps(values)).weights == said
