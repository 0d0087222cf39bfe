import copy

import pytest
import torch

from lrexplore.models.language.separate_attention import PRODUCTS, MultiHead
from lrexplore.optim import HeadProduct, HeadProductDecay, Lamb, parameter_groups, without_weight_decay

KINDS = {"qk": ("q", "k"), "ov": ("o", "v")}


def attention(head_dim=5):
    torch.manual_seed(0)
    return MultiHead(16, 4, head_dim).double()


def product_of(module, kind):
    return HeadProduct(kind, *module.parameters_of(kind), module.num_heads)


@pytest.mark.parametrize("kind", PRODUCTS)
def test_its_gradients_are_autograds_of_the_formed_products(kind):
    module = attention()
    product = product_of(module, kind)
    formed = torch.matmul(*module.pairs(kind)).square().sum()
    torch.testing.assert_close(product.frobenius_penalty(), formed)
    expected = torch.autograd.grad(formed / 2, product.factor_parameters())
    for mine, theirs in zip(product.penalty_gradients(), expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("switched", [(), ("qk",), ("ov",), PRODUCTS], ids=str)
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, Lamb])
def test_a_switch_moves_the_weights_of_its_product_and_no_other(switched, optimizer):
    plain = attention()
    decayed = copy.deepcopy(plain)
    for module, kinds in ((plain, ()), (decayed, switched)):
        products = [product_of(module, kind) for kind in kinds]
        groups = parameter_groups(module, decay="none", decay_strength=0.0, decay_norms=False)
        made = optimizer(without_weight_decay(groups, [p for one in products for p in one.factor_parameters()]), lr=0.1)
        HeadProductDecay(products, 0.5).attach(made)
        torch.manual_seed(1)
        module(torch.randn(2, 3, 16, dtype=torch.float64)).square().sum().backward()
        made.step()
    moved = {name for name, before in plain.named_parameters() if not before.equal(decayed.get_parameter(name))}
    assert moved == {f"{layer}.weight" for kind in switched for layer in KINDS[kind]}


def test_its_weights_have_no_weight_decay_and_every_other_parameter_keeps_its_own():
    module = attention()
    groups = parameter_groups(module, decay_strength=0.1, decay_norms=True)
    chosen = module.parameters_of("qk")
    decays = {id(p): group["weight_decay"] for group in without_weight_decay(groups, chosen) for p in group["params"]}
    assert {name: decays[id(p)] for name, p in module.named_parameters()} == {
        "q.weight": 0.0, "k.weight": 0.0, "v.weight": 0.1, "o.weight": 0.1,
    }  # fmt: skip
    assert without_weight_decay(groups, []) == groups


def test_a_view_of_products_owns_no_parameter():
    assert list(product_of(attention(), "qk").parameters()) == []
