"""Frobenius decay of heads' products: against autograd of dense products, and each switch by itself."""

from copy import deepcopy

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.nn.attention import attentions_of
from lrexplore.optim import Lamb
from lrexplore.optim.head_decay import head_decays
from tests.attentions import network

NAMES = ("torch attention", "torchvision Swin", "timm ViT", "BERT", "GPT-2", "T5", "Llama", "Qwen3")


def dense_penalty(model, qk, ov):
    """Half the squared norms of E x E products, by autograd through the projections as they are."""
    total = 0
    for attention in attentions_of(model).values():
        share = attention.num_heads // attention.num_groups
        q, k, v, o = (stack.values() for stack in (attention.q, attention.k, attention.v, attention.o))
        for head in range(attention.num_heads):
            if qk and attention.qk_reason is None:
                total = total + (q[head].mT @ k[head // share]).square().sum() / 2
            if ov and attention.ov_reason is None:
                total = total + (o[head].mT @ v[head // share]).square().sum() / 2
    return total


@pytest.mark.parametrize("factorized", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_closed_form_is_the_gradient_of_the_dense_products(name, factorized):
    model = deepcopy(network(name)[0]).double()
    if factorized:
        model = lr.factorize(model, heads=0.5)
    dense_penalty(model, True, True).backward()
    expected = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
    model.zero_grad(set_to_none=True)
    names = {id(value): key for key, value in model.named_parameters()}
    got = {key: torch.zeros_like(value) for key, value in model.named_parameters()}
    for decay in head_decays(model, True, True):
        for stack, gradient in decay.gradients():
            stack.add_(got[names[id(stack.weight)]], gradient)
    for key, value in expected.items():
        torch.testing.assert_close(got.pop(key), value, atol=1e-6, rtol=1e-6)
    assert not any(value.any() for value in got.values())
    halves = sum(float(decay.penalty().detach()) for decay in head_decays(model, True, True)) / 2
    assert halves == pytest.approx(float(dense_penalty(model, True, True).detach()), rel=1e-9)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("switch", ["linear", "qk", "ov"])
@pytest.mark.parametrize("name", ["BERT", "torch encoder", "GPT-2"])
def test_a_switch_moves_its_own_weights_and_no_others(name, switch, kind):
    model = deepcopy(network(name)[0])
    if switch == "linear" or name != "GPT-2":  # GPT-2 has Conv1D in the place of linear layers
        ranks = {"BERT": "encoder.layer.0.intermediate.dense", "torch encoder": "layers.0.linear1"}
        model = lr.factorize(model, ranks={ranks[name]: 2}) if name in ranks else model
    switches = {"linear": False, "qk": False, "ov": False, switch: True}
    optimizer = (torch.optim.SGD if kind == "sgd" else torch.optim.AdamW)(
        lr.parameter_groups(model, decay_strength=0.0, decay_norms=False, **switches), lr=0.1
    )
    lr.FrobeniusDecay(model, 0.5, **switches).attach(optimizer)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moved = {key for key, value in model.named_parameters() if not torch.equal(value, before[key])}
    expected = {key for key in before if key.endswith((".left", ".right"))} if switch == "linear" else set()
    names = {id(value): key for key, value in model.named_parameters()}
    for attention in attentions_of(model).values():
        pair = {"qk": (attention.q, attention.k), "ov": (attention.o, attention.v)}.get(switch, ())
        expected |= {names[id(stack.weight)] for stack in pair}
    assert moved == expected


def test_one_step_of_sgd_and_of_adamw_is_that_of_the_penalty():
    for make, decoupled in ((torch.optim.SGD, False), (torch.optim.AdamW, True)):
        model = deepcopy(network("timm ViT")[0])
        optimizer = make(lr.parameter_groups(model, decay_strength=0.3, decay_norms=False, qk=True, ov=True), lr=0.1)
        assert next(g for g in optimizer.param_groups if g["name"] == "factors")["weight_decay"] == 0
        lr.FrobeniusDecay(model, 0.3, qk=True, ov=True).attach(optimizer)
        weight = model.blocks[0].attn.qkv.weight
        (gradient,) = torch.autograd.grad(dense_penalty(model, True, True), [weight])
        before = weight.detach().clone()
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        torch.testing.assert_close(weight.detach(), before - 0.1 * 0.3 * gradient, atol=1e-6, rtol=1e-5)
        assert decoupled or weight.grad is not None


def test_rows_fused_with_decayed_ones_have_plain_decay():
    layer = nn.MultiheadAttention(16, 4)
    groups = lr.parameter_groups(layer, decay_strength=0.5, decay_norms=False, qk=True, ov=False)
    names = {id(value): key for key, value in layer.named_parameters()}
    decays = {names[id(value)]: group["weight_decay"] for group in groups for value in group["params"]}
    assert decays == {"in_proj_weight": 0.0, "out_proj.weight": 0.5, "in_proj_bias": 0.0, "out_proj.bias": 0.0}
    optimizer = torch.optim.SGD(groups, lr=0.1)
    lr.FrobeniusDecay(layer, 0.5, qk=True, ov=False).attach(optimizer)
    before = layer.in_proj_weight.detach().clone()
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(layer.in_proj_weight[32:].detach(), before[32:] * (1 - 0.05))


def test_factorized_heads_are_decayed_as_products_without_being_asked_and_others_are_not():
    model = deepcopy(network("BERT")[0])
    groups = lr.parameter_groups(model, decay_strength=0.1, decay_norms=False)
    assert [group["name"] for group in groups] == ["weights", "norms and biases"]
    assert lr.FrobeniusDecay(model, 0.1).heads == []
    small = lr.factorize(model, heads=0.5)
    groups = {g["name"]: g for g in lr.parameter_groups(small, decay_strength=0.1, decay_norms=False)}
    assert len(groups["factors"]["params"]) == 8 and groups["factors"]["weight_decay"] == 0
    assert not any(value is small.encoder.layer[0].attention.self.query.shift for value in groups["weights"]["params"])
    assert len(lr.FrobeniusDecay(small, 0.1).heads) == 2


def test_a_frozen_projection_stays_and_its_partner_moves():
    model = deepcopy(network("BERT")[0])
    attention = model.encoder.layer[0].attention.self
    attention.query.weight.requires_grad_(False)
    before = attention.query.weight.clone(), attention.key.weight.detach().clone()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    lr.FrobeniusDecay(model, 0.5, qk=True).attach(optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    optimizer.step()
    assert torch.equal(attention.query.weight, before[0])
    assert not torch.equal(attention.key.weight, before[1])


def test_lamb_has_the_gradients_of_heads_in_its_update():
    model = deepcopy(network("timm ViT")[0])
    optimizer = Lamb(model.parameters(), lr=0.1)
    lr.FrobeniusDecay(model, 0.3, qk=True, ov=True).attach(optimizer)
    weight = model.blocks[0].attn.qkv.weight
    (gradient,) = torch.autograd.grad(dense_penalty(model, True, True), [weight])
    before = weight.detach().clone()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moved = before - weight.detach()
    torch.testing.assert_close(moved, gradient * (moved.norm() / gradient.norm()), atol=1e-6, rtol=1e-4)
    assert moved.norm() == pytest.approx(0.1 * float(before.norm()), rel=1e-4)


@pytest.mark.parametrize("switch", ["linear", "qk", "ov"])
def test_a_switch_that_is_no_truth_value_is_refused(switch):
    layer = nn.MultiheadAttention(16, 4)
    with pytest.raises(TypeError, match=f"`{switch}`"):
        lr.FrobeniusDecay(layer, 0.1, **{switch: "yes"})
    with pytest.raises(TypeError, match=f"`{switch}`"):
        lr.parameter_groups(layer, decay_strength=0.1, decay_norms=True, **{switch: 1})
