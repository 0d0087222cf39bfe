import copy

import pytest
import torch

import lrexplore as lr
from lrexplore.models.language.separate_attention import PRODUCTS, MultiHead
from lrexplore.nn.attention import heads_of
from lrexplore.optim import FrobeniusDecay, Lamb, parameter_groups, without_weight_decay
from lrexplore.optim.head_decay import HeadDecay

KINDS = {"qk": ("q", "k"), "ov": ("o", "v")}


def attention(head_dim=5):
    torch.manual_seed(0)
    return MultiHead(16, 4, head_dim).double()


@pytest.mark.parametrize("kind", PRODUCTS)
def test_its_gradients_are_autograds_of_the_formed_products(kind):
    module = attention()
    decay = HeadDecay(heads_of(module), **{product: product == kind for product in PRODUCTS})
    formed = torch.matmul(*module.pairs(kind)).square().sum()
    torch.testing.assert_close(decay.penalty(), formed)
    assert {id(weight) for weight in decay.weights()} == set(map(id, module.parameters_of(kind)))
    expected = dict(zip(decay.weights(), torch.autograd.grad(formed / 2, decay.weights()), strict=True))
    for stack, mine in decay.gradients():
        whole = torch.zeros_like(stack.weight)
        stack.add_(whole, mine)
        torch.testing.assert_close(whole, expected[stack.weight], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("switched", [(), ("qk",), ("ov",), PRODUCTS], ids=str)
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, Lamb])
def test_a_switch_moves_the_weights_of_its_product_and_no_other(switched, optimizer):
    plain = attention()
    decayed = copy.deepcopy(plain)
    for module, kinds in ((plain, ()), (decayed, switched)):
        free = [weight for kind in kinds for weight in module.parameters_of(kind)]
        groups = parameter_groups(module, decay="none", decay_strength=0.0, decay_norms=False)
        made = optimizer(without_weight_decay(groups, free), lr=0.1)
        FrobeniusDecay(module, 0.5, qk="qk" in kinds, ov="ov" in kinds).attach(made)
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


@pytest.mark.parametrize("head_dim", [2, 4, 5])
def test_the_heads_of_our_own_attention_are_listed_and_of_full_rank_give_its_outputs(head_dim):
    module, tokens = attention(head_dim), torch.randn(2, 3, 16, dtype=torch.float64)
    assert lr.heads(module)["dimension"].tolist() == [head_dim] * 8
    torch.testing.assert_close(lr.factorize(module, heads=1.0)(tokens), module(tokens))
    assert torch.isfinite(lr.factorize(module, heads={":qk.1": 1, ":ov.2": 1})(tokens)).all()
