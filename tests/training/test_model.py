import math

import pytest
import torch
from torch import nn

from lrexplore.linalg import Factors
from lrexplore.models.catalogue import OWN, network
from lrexplore.nn import FACTORIZED
from lrexplore.optim import frobenius_penalty
from lrexplore.recipes import configure
from lrexplore.training.layer_norms import measure_layers, product_norms, watched_layers
from lrexplore.training.model import build_model, draw_truncated_normal
from lrexplore.training.non_finite import first_non_finite


def built(**choices):
    return build_model(configure(**{"model": "resnet20", "rank_scale": 0.2, **choices}), 10)


def factorized(model):
    return [module for module in model.modules() if isinstance(module, FACTORIZED)]


@torch.no_grad()
def total_norm(model):
    return math.sqrt(sum(float(frobenius_penalty(module)) for module in factorized(model)))


def test_every_initializer_and_rank_starts_from_the_same_unfactorized_network():
    plain = built(rank_scale=None).state_dict()
    for choices in ({"initializer": "independent"}, {"initializer": "spectral", "rank_scale": 0.1}):
        model = built(**choices)
        assert model.conv1.weight.equal(plain["conv1.weight"]) and model.fc.weight.equal(plain["fc.weight"])
        assert len(factorized(model)) == 18
    assert not built(rank_scale=None, seed=1).conv1.weight.equal(plain["conv1.weight"])


def test_the_matched_control_is_spectral_times_one_number_with_the_norm_of_function():
    spectral, function, matched = (built(initializer=name) for name in ("spectral", "function", "spectral-matched"))
    assert total_norm(matched) == pytest.approx(total_norm(function), rel=1e-5)
    scale = total_norm(matched) / total_norm(spectral)
    for mine, theirs in zip(factorized(matched), factorized(spectral), strict=True):
        torch.testing.assert_close(mine.weight, theirs.weight * scale)


def test_truncated_normal_weights_have_variance_one_over_fan_in_and_no_outliers():
    model = nn.Sequential(nn.Conv2d(64, 128, 3), nn.Linear(400, 300))
    torch.manual_seed(0)
    draw_truncated_normal(model)
    for layer, fan_in in zip(model, (576, 400), strict=True):
        assert float(layer.weight.detach().std()) * fan_in**0.5 == pytest.approx(1, abs=0.01)
        assert float(layer.weight.detach().abs().max()) * fan_in**0.5 < 2 / 0.8796 + 1e-3


@pytest.mark.parametrize("name", OWN)
def test_lrexplores_networks_are_built_by_name(name):
    with torch.device("meta"):
        model = network(name, 7)
        assert model.training
        assert model.eval()(torch.empty(1, 3, 32, 32)).shape == (1, 7)


def test_an_unknown_network_names_the_nearest():
    with pytest.raises(ValueError, match="`model` must be.*Nearest: resnet56"):
        network("resnet57", 10)


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_norms_from_factors_are_those_of_their_products(scheme):
    model = built(scheme=scheme, initializer="independent")
    for module in factorized(model):  # factors far from balanced
        nn.init.normal_(module.left)
    names = watched_layers(model, "inner")
    found = measure_layers(model, names, 0.1, scheme)
    for number, module in enumerate(factorized(model)):
        values = torch.linalg.svdvals(Factors(module.left, module.right).product().detach().double())
        assert found["frobenius_norm"][number] == pytest.approx(float(values.norm()), rel=1e-5)
        assert found["nuclear_norm"][number] == pytest.approx(float(values.sum()), rel=1e-5)
        assert found["factor_bound"][number] >= found["nuclear_norm"][number]
        assert found["effective_lr"][number] == pytest.approx(0.1 / float(values.norm()) ** 2, rel=1e-4)
    torch.testing.assert_close(product_norms(factorized(model)).tolist(), found["frobenius_norm"], rtol=1e-5, atol=0)


def test_balanced_factors_reach_the_bound_and_are_orthogonal():
    model = built(initializer="spectral")
    found = measure_layers(model, watched_layers(model, "inner"), 0.1, "channel")
    torch.testing.assert_close(found["factor_bound"], found["nuclear_norm"], rtol=1e-4, atol=0)
    assert max(found["non_orthogonality"]) < 1e-3


def test_an_unfactorized_network_is_watched_where_it_would_be_factorized():
    model = built(rank_scale=None)
    names = watched_layers(model, "inner")
    found = measure_layers(model, names, 0.1, "channel")
    assert names == watched_layers(built(), "inner")
    assert found["frobenius_norm"][0] == pytest.approx(float(model.layer1[0].conv1.weight.norm()), rel=1e-5)


@pytest.mark.parametrize(
    ("value", "where"), [(float("nan"), "in the weights of layer `1`"), (0.0, "in the output of layer `2`")]
)
def test_the_first_layer_that_went_wrong_is_found(value, where):
    class Logarithm(nn.Module):
        def forward(self, x):
            return x.clamp(max=0).log()

    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), Logarithm(), nn.Linear(4, 2))
    nn.init.constant_(model[1].weight, value)
    assert first_non_finite(model, torch.ones(2, 4)) == where
    assert first_non_finite(nn.Linear(4, 4), torch.full((2, 4), torch.inf)) == "in the images"
    assert first_non_finite(nn.Sequential(nn.Linear(4, 4)), torch.ones(2, 4)) == ""
