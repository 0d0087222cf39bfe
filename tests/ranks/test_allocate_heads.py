"""Attention heads under one budget with the layers."""

import numpy as np
import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.network import find_layers
from lrexplore.network.attention import find_heads
from lrexplore.network.attention.head_layers import BY_HEADS, with_heads
from lrexplore.ranks import allocate
from lrexplore.ranks.allocate import Allocator
from lrexplore.ranks.heads.head_curves import head_curves
from tests.attentions import IMAGES, NETWORKS, TOKENS


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    return NETWORKS["torchvision ViT"]()[0].eval()


@pytest.fixture(scope="module")
def batches():
    return list(torch.randn(8, 4, 3, 16, 16, generator=torch.Generator().manual_seed(3)))


def names_of_heads(model):
    return [head.name for head in find_heads(model) if head.reason is None]


@pytest.mark.parametrize("name", ["torchvision ViT", "timm ViT", "BERT", "GPT-2", "torch encoder", "Llama"])
def test_a_plan_with_heads_makes_the_network_that_it_promises(name):
    torch.manual_seed(0)
    model, run = NETWORKS[name]()
    model.eval()
    others = {layer.name: None for layer in with_heads(model, find_layers(model)) if layer.skip_reason is None}
    others = {layer: None for layer in others if ":" not in layer}
    plan = lr.allocate(model, parameter_ratio=0.9, heads=True, weights="plain", pinned=others)
    assert plan.parameter_ratio <= 0.9 and plan.heads
    small = lr.factorize(model, plan=plan)
    assert sum(p.numel() for p in small.parameters()) == plan.parameters[1]
    assert small.rank_plan == plan
    made = lr.report(small).set_index("name")["rank"]
    assert {head: made[head] for head in plan.heads} == plan.heads
    with torch.no_grad():
        assert torch.isfinite(run(small)).all()


def test_without_heads_a_plan_has_none_and_is_what_it_was(vit):
    plan = lr.allocate(vit, parameter_ratio=0.8, weights="plain")
    assert not plan.heads and not set(plan.table()["name"]) & set(names_of_heads(vit))


def test_projections_are_left_to_their_heads():
    model = NETWORKS["BERT"]()[0]
    plan = lr.allocate(model, parameter_ratio=0.8, heads=True, weights="plain").table().set_index("name")
    projections = [name for name in plan.index if name.endswith(("query", "key", "value", "attention.output.dense"))]
    assert len(projections) == 8 and plan.loc[projections, "rank"].isna().all()
    assert set(plan.loc[projections, "reason"]) == {BY_HEADS}


def test_the_layer_table_lists_heads_after_the_layers_of_their_attention(vit):
    table = lr.layers(vit, heads=True)
    assert table.columns.equals(lr.layers(vit).columns)
    assert set(names_of_heads(vit)) <= set(table["name"]) and not set(names_of_heads(vit)) & set(lr.layers(vit)["name"])
    places = {name: place for place, name in enumerate(table["name"])}
    first = "encoder.layers.encoder_layer_0"
    assert (
        places[f"{first}.self_attention.out_proj"] < places[f"{first}.self_attention:qk.0"] < places[f"{first}.mlp.0"]
    )


@pytest.mark.parametrize("name", ["torchvision ViT", "timm ViT", "BERT", "GPT-2", "T5"])
def test_multiply_adds_of_all_heads_are_those_of_the_projections(name):
    model = NETWORKS[name]()[0]
    given = IMAGES if "ViT" in name else {"input_ids": TOKENS}
    given = given | {"decoder_input_ids": TOKENS} if name == "T5" else given
    layers = with_heads(model, find_layers(model, given))
    heads = sum(layer.flops for layer in layers if layer.kind in ("QK", "OV"))
    whole = sum(layer.flops for layer in layers if layer.skip_reason == BY_HEADS)
    if name == "torchvision ViT":  # its projections are read, not called: 4 of 16 x 16 on 5 tokens, in 2 layers
        whole = 2 * 4 * 16 * 16 * 5
    assert heads == whole


def test_half_of_every_head_is_half_of_its_multiply_adds(vit):
    layers = with_heads(vit, find_layers(vit, IMAGES))
    pins = {layer.name: 2 for layer in layers if layer.kind in ("QK", "OV")}
    pins |= {layer.name: None for layer in layers if layer.kind not in ("QK", "OV") and layer.skip_reason is None}
    plan = lr.allocate(vit, flop_ratio=0.99, heads=True, pinned=pins, weights="plain", example_input=IMAGES)
    saved = sum(layer.flops for layer in layers if layer.kind in ("QK", "OV")) / 2
    assert plan.flops[0] - plan.flops[1] == saved


@pytest.mark.parametrize("name", ["torchvision ViT", "Llama", "BERT"])
def test_a_heads_curve_is_its_error_at_every_rank(name):
    torch.manual_seed(0)
    model = NETWORKS[name]()[0].eval()
    heads = [head for head in find_heads(model)[:9] if head.reason is None]
    curves = head_curves(model, heads)
    for head in heads:
        step = 2 if head.rotary else 1
        for rank in range(step, head.dimension + 1, step):
            error = lr.head_error(model, head.name, rank)
            given = error.logits if head.kind == "QK" else error.output
            assert curves[head.name][rank - 1] == pytest.approx(given, abs=1e-9)


@pytest.mark.parametrize("name", ["torchvision ViT", "Llama"])
def test_a_heads_curve_on_real_inputs_is_its_error_there(name, batches):
    torch.manual_seed(0)
    model = NETWORKS[name]()[0].eval()
    tokens = [{"input_ids": torch.randint(3, 12, (4, 7))} for _ in range(8)]
    calibration = lr.calibrate(model, batches if "ViT" in name else tokens, heads=True)
    heads = [head for head in find_heads(model) if head.reason is None]
    curves = head_curves(model, heads, calibration)
    for head in heads:
        step = 2 if head.rotary else 1
        for rank in range(step, head.dimension + 1, step):
            error = lr.head_error(model, head.name, rank, calibration=calibration)
            given = error.logits if head.kind == "QK" else error.output
            # A curve never rises, an error on inputs held out may.
            assert curves[head.name][rank - 1] <= given + 1e-9
    first = heads[0]
    rank = 2
    error = lr.head_error(model, first.name, rank, calibration=calibration).logits
    assert curves[first.name][rank - 1] == pytest.approx(error, rel=1e-6)


def test_heads_are_cut_by_their_real_inputs_and_weighed_by_what_they_move(vit, batches):
    labelled = [(batch, torch.zeros(4, dtype=torch.long)) for batch in batches]
    plan = lr.allocate(vit, parameter_ratio=0.75, heads=True, loader=labelled)
    assert plan.weights == "sensitivity" and plan.inputs == "your inputs"
    weights = plan.table().set_index("name").loc[names_of_heads(vit), "weight"]
    assert (weights > 0).all() and weights.nunique() == len(weights)
    uniform = lr.allocate(vit, parameter_ratio=0.75, heads=True, loader=labelled, method="uniform")
    images, moved = torch.cat(batches), []
    for chosen in (plan, uniform):
        with torch.no_grad():
            moved.append((lr.factorize(vit, plan=chosen, loader=labelled)(images) - vit(images)).square().sum())
    assert moved[0] < moved[1]


def test_heads_that_move_nothing_weigh_nothing(batches):
    torch.manual_seed(0)
    model = NETWORKS["torchvision ViT"]()[0].eval()
    dead = model.encoder.layers[0].self_attention
    with torch.no_grad():
        dead.out_proj.weight[:, :4] = 0  # head 0 reaches no output
    plan = lr.allocate(model, parameter_ratio=0.75, heads=True, loader=batches).table().set_index("name")
    ov = plan.loc[[name for name in plan.index if name.startswith("encoder.layers.encoder_layer_0.self_attention:ov")]]
    assert ov["weight"].iloc[0] == 0 and (ov["weight"].iloc[1:] > 0).all()


def test_a_head_can_be_pinned_and_a_plan_with_heads_comes_back_from_its_file(vit, tmp_path):
    head, kept = (
        "encoder.layers.encoder_layer_1.self_attention:qk.2",
        "encoder.layers.encoder_layer_0.self_attention:ov.1",
    )
    plan = lr.allocate(vit, parameter_ratio=0.8, heads=True, pinned={head: 1, kept: None}, weights="plain")
    assert plan.heads[head] == 1 and kept not in plan.heads
    plan.save(tmp_path / "plan.json")
    assert lr.RankPlan.load(tmp_path / "plan.json") == plan


@pytest.mark.parametrize("method", ["uniform", "energy", "stable_rank", "marchenko_pastur"])
def test_rules_choose_heads_too(vit, method):
    plan = lr.allocate(vit, parameter_ratio=0.6, heads=True, method=method)
    assert plan.heads and plan.parameter_ratio <= 0.6


def test_rotary_heads_get_whole_planes():
    model = NETWORKS["Llama"]()[0]
    plan = lr.allocate(model, parameter_ratio=0.8, heads=True, weights="plain")
    assert plan.heads and all(rank % 2 == 0 for name, rank in plan.heads.items() if ":qk." in name)
    with pytest.raises(ValueError, match="must be even"):
        lr.allocate(model, parameter_ratio=0.8, heads=True, pinned={"model.layers.0.self_attn:qk.0": 3})


def test_under_a_budget_of_time_an_allocator_leaves_heads_as_they_are(vit):
    plan = Allocator.of(vit, heads=True, weights="plain", example_input=IMAGES).plan("latency_ratio", 1.0)
    reasons = plan.table().set_index("name").loc[names_of_heads(vit), "reason"]
    assert not plan.heads and all("the time of one head cannot be told" in reason for reason in reasons)


def test_what_cannot_be_is_refused_with_a_way_out(vit, batches):
    with pytest.raises(ValueError, match="Set a `flop_ratio`"):
        lr.allocate(vit, latency_ratio=0.8, heads=True)
    with pytest.raises(TypeError, match="`heads` must be True or False, got 0.5"):
        lr.allocate(vit, parameter_ratio=0.8, heads=0.5)
    plan = lr.allocate(vit, parameter_ratio=0.8, heads=True, weights="plain")
    with pytest.raises(ValueError, match="`heads` must be left out with a `plan`"):
        lr.factorize(vit, plan=plan, heads=0.5)
    alone = nn.MultiheadAttention(16, 4)
    of_alone = lr.allocate(alone, parameter_ratio=0.8, heads=True, weights="plain")
    with pytest.raises(ValueError, match="an attention head `:qk.0` of 4 dimensions of 16, which the model has not"):
        lr.factorize(nn.MultiheadAttention(16, 2), plan=of_alone)
    with pytest.raises(ValueError, match="heads=True"):
        lr.allocate(vit, parameter_ratio=0.8, heads=True, calibration=lr.calibrate(vit, batches))
    with pytest.raises(ValueError, match="the model has no such layer"):
        lr.allocate(vit, parameter_ratio=0.8, pinned={names_of_heads(vit)[0]: 1})


def test_the_exact_plan_is_no_worse_than_any_rule(vit):
    best = allocate(vit, parameter_ratio=0.8, heads=True, weights="plain").error
    for method in ("uniform", "energy"):
        assert best <= allocate(vit, parameter_ratio=0.8, heads=True, weights="plain", method=method).error + 1e-9


def test_a_model_without_attention_is_allocated_as_ever():
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
    plans = [lr.allocate(model, parameter_ratio=0.7, heads=heads) for heads in (True, False)]
    assert plans[0] == plans[1] and np.isfinite(plans[0].error)
