import pytest
import torch
from torch import nn

from lrexplore.ranks import LayerPlan, RankPlan, allocate, factorize


def test_a_saved_plan_comes_back_the_same(model, tmp_path):
    plan = allocate(model, parameter_ratio=0.4, initializer="spectral", example_input=torch.zeros(1, 3, 12, 12))
    plan.save(tmp_path / "plan.json")
    assert RankPlan.load(tmp_path / "plan.json") == plan


def test_plans_differ_in_text_where_they_differ_in_layers(model):
    one, other = (allocate(model, parameter_ratio=ratio, initializer="spectral") for ratio in (0.4, 0.45))
    changed = one.diff(other)
    differing = [a for a, b in zip(one.layers, other.layers, strict=True) if a.rank != b.rank]
    assert list(changed["layer"]) == [layer.name for layer in differing]
    assert one.diff(one).empty
    names = {layer.name for layer in differing}
    for a, b in zip(one.to_json().splitlines(), other.to_json().splitlines(), strict=True):
        if a.strip().startswith('{"name"') and a != b:
            assert any(f'"name": "{name}"' in a for name in names)


def test_the_table_has_a_line_for_every_layer(model):
    plan = allocate(model, parameter_ratio=0.4, initializer="spectral")
    table = plan.table()
    assert list(table["name"]) == ["0", "3", "7", "9"]
    assert table["parameters_after"].sum() == plan.parameters[1] - 32
    assert str(plan).startswith("RankPlan: ")


def test_a_plan_for_another_network_is_refused_before_anything_happens(model):
    plan = allocate(model, parameter_ratio=0.4, initializer="spectral")
    other = nn.Sequential(nn.Conv2d(3, 16, 5), *list(model)[1:])
    for wrong, words in ((other, "the model has the shape"), (nn.Linear(3, 3), "no such layer")):
        with pytest.raises(ValueError, match=f"`plan` must be one for this model.*{words}"):
            factorize(wrong, plan=plan)
    with pytest.raises(ValueError, match="got a plan and ranks"):
        factorize(model, plan=plan, rank_scale=0.5)


def test_what_is_no_plan_is_refused(tmp_path):
    for text in ("", "[]", '{"format": "other"}', '{"format": "lrexplore rank plan 1", "layers": [{}]}'):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(ValueError, match="`plan` must be json written by"):
            RankPlan.load(tmp_path / "plan.json")


def test_a_plan_set_by_hand_whose_error_nobody_knows_is_kept_and_read_back(tmp_path):
    layer = LayerPlan(name="a", weight_shape=(8, 8), rank=2, parameters_before=64, parameters_after=32)
    about = {"initializer": "function", "inputs": "none", "method": "by hand", "budget": "none"}
    plan = RankPlan(layers=(layer,), error=float("nan"), gap=None, parameters=(64, 32), **about)
    plan.save(tmp_path / "plan.json")
    again = RankPlan.load(tmp_path / "plan.json")
    assert again.layers == plan.layers and again.error != again.error
