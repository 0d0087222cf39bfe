import pytest
import torch
from torch import nn

from lrexplore.nn import FACTORIZED, FactorizedConv2d, FactorizedLinear
from lrexplore.optim import parameter_groups


class Network(nn.Module):
    """Names that would fool a match by substring, a shared weight, and a parameter that is no layer's."""

    def __init__(self):
        super().__init__()
        self.left = nn.Linear(4, 4)
        self.bias_right = nn.Conv2d(3, 4, 3)
        self.right_factor = FactorizedConv2d(4, 4, 3, 2)
        self.norm = FactorizedLinear(4, 4, 2)
        self.plain = nn.BatchNorm2d(4)
        self.layer_norm = nn.LayerNorm(4)
        self.token = nn.Parameter(torch.zeros(4))
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.left.weight
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


def groups_of(**options):
    model = Network()
    options = {"decay": "frobenius", "decay_strength": 0.1, "decay_norms": False, **options}
    return model, {group["name"]: group for group in parameter_groups(model, **options)}


def test_every_trainable_parameter_is_in_one_group_and_frozen_ones_in_none():
    model, groups = groups_of()
    listed = [id(parameter) for group in groups.values() for parameter in group["params"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(p) for p in model.parameters() if p.requires_grad}


def test_exactly_the_factor_tensors_are_in_the_group_of_factors():
    model, groups = groups_of()
    factors = [p for m in model.modules() if isinstance(m, FACTORIZED) for p in (m.left, m.right)]
    assert {id(p) for p in groups["factors"]["params"]} == {id(p) for p in factors}


def test_weights_are_the_weights_and_free_parameters_of_other_layers():
    model, groups = groups_of()
    expected = {id(model.left.weight), id(model.bias_right.weight), id(model.token)}
    assert {id(p) for p in groups["weights"]["params"]} == expected


@pytest.mark.parametrize(("decay", "amount"), [("frobenius", 0.0), ("none", 0.0), ("weight", 0.1)])
def test_factors_get_weight_decay_only_when_it_is_chosen(decay, amount):
    _, groups = groups_of(decay=decay)
    assert groups["factors"]["weight_decay"] == amount
    assert groups["weights"]["weight_decay"] == 0.1


@pytest.mark.parametrize(("decay_norms", "amount"), [(True, 0.1), (False, 0.0)])
def test_norms_and_biases_are_decayed_by_choice(decay_norms, amount):
    _, groups = groups_of(decay_norms=decay_norms)
    assert groups["norms and biases"]["weight_decay"] == amount


def test_an_unknown_decay_is_refused():
    with pytest.raises(ValueError, match="`decay` must be one of frobenius, weight, none, got 'l2'"):
        groups_of(decay="l2")


@pytest.mark.parametrize(
    "module", [nn.MultiheadAttention(8, 2, add_bias_kv=True), nn.LSTM(4, 4)], ids=["attention", "lstm"]
)
def test_biases_by_other_names_get_no_decay_where_biases_get_none(module):
    groups = {group["name"]: group for group in parameter_groups(module, decay_strength=0.1, decay_norms=False)}
    expected = {id(parameter) for name, parameter in module.named_parameters() if "bias" in name}
    assert {id(parameter) for parameter in groups["norms and biases"]["params"]} == expected
    assert groups["norms and biases"]["weight_decay"] == 0
