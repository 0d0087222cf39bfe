import copy

import pytest
import torch
from torch import nn

from lrexplore.init import initialize
from lrexplore.linalg import Factors
from lrexplore.nn import FactorizedLinear


def product_layer(factorized):
    layer = nn.Linear(factorized.in_features, factorized.out_features, factorized.bias is not None).double()
    with torch.no_grad():
        layer.weight.copy_(factorized.left @ factorized.right)
        if factorized.bias is not None:
            layer.bias.copy_(factorized.bias)
    return layer


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (1, 7)])
def test_factorized_forward_is_the_product_forward(shape, bias):
    in_features, out_features = shape
    layer = FactorizedLinear(in_features, out_features, 1, bias).double()
    x = torch.randn(3, 4, in_features, dtype=torch.float64)
    torch.testing.assert_close(layer(x), product_layer(layer)(x))


def test_full_rank_spectral_factors_reproduce_the_output():
    layer = nn.Linear(9, 6).double()
    factorized = FactorizedLinear.from_layer(layer, initialize(layer.weight.detach(), 6, initializer="spectral"))
    x = torch.randn(4, 9, dtype=torch.float64)
    torch.testing.assert_close(factorized(x), layer(x))


def test_collapse_gives_equal_outputs():
    factorized = FactorizedLinear(8, 6, 2).double()
    x = torch.randn(4, 8, dtype=torch.float64)
    torch.testing.assert_close(factorized.collapse()(x), factorized(x))
    torch.testing.assert_close(factorized.weight, factorized.collapse().weight)


def test_state_dict_holds_left_right_and_bias():
    factorized = FactorizedLinear(8, 6, 2)
    other = FactorizedLinear(8, 6, 2)
    assert list(factorized.state_dict()) == ["left", "right", "bias"]
    other.load_state_dict(factorized.state_dict())
    assert torch.equal(other.weight, factorized.weight)


def test_the_layer_keeps_dtype_gradient_flag_and_mode_of_the_one_it_stands_for():
    layer = nn.Linear(8, 6).bfloat16().requires_grad_(False).eval()
    factors = Factors(torch.randn(6, 2), torch.randn(2, 8))
    factorized = FactorizedLinear.from_layer(layer, factors)
    assert {p.dtype for p in factorized.parameters()} == {torch.bfloat16}
    assert not any(p.requires_grad for p in factorized.parameters())
    assert not factorized.training


def test_from_layer_copies_factors_and_bias():
    layer = nn.Linear(8, 6)
    factors = Factors(torch.randn(6, 2), torch.randn(2, 8))
    factorized = FactorizedLinear.from_layer(layer, factors)
    with torch.no_grad():
        factorized.left.zero_(), factorized.bias.zero_()
    assert factors.left.abs().sum() > 0 and layer.bias.abs().sum() > 0


def test_a_fresh_layer_has_the_product_variance_of_a_fresh_linear_layer():
    torch.manual_seed(0)
    layer = FactorizedLinear(400, 300, 50)
    # 120,000 entries, each a sum of 50 products: the sample variance is within 5 %.
    assert layer.weight.var().item() == pytest.approx(1 / (3 * 400), rel=0.05)


def test_factors_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"`factors` must multiply to \(6, 8\).*got \(8, 6\)"):
        FactorizedLinear.from_layer(nn.Linear(8, 6), Factors(torch.randn(8, 2), torch.randn(2, 6)))


def test_a_rank_past_the_smaller_side_is_refused():
    with pytest.raises(ValueError, match="`rank` must be a whole number in 1..6"):
        FactorizedLinear(8, 6, 7)


def test_the_layer_deepcopies_and_says_what_it_is():
    layer = copy.deepcopy(FactorizedLinear(8, 6, 2, bias=False))
    assert repr(layer) == "FactorizedLinear(in_features=8, out_features=6, rank=2, bias=False)"
