import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lrexplore.recipes import RECIPES, Config, configure
from lrexplore.recipes.arguments import command_line, parse
from lrexplore.recipes.config import CHOICES, RANGES, SMALLEST, kinds
from lrexplore.recipes.names import default_name, new_name
from lrexplore.recipes.which_layers import which_layers
from lrexplore.training.learner import learning_rate
from lrexplore.training.loading import StepPlan


@pytest.mark.parametrize(
    ("choices", "field"),
    [
        ({"initializer": "best"}, "initializer"),
        ({"decay": "l2"}, "decay"),
        ({"rank_scale": 0.0}, "rank_scale"),
        ({"rank_scale": 1.5}, "rank_scale"),
        ({"rank_scale": 0.1, "plan": "plan.json"}, "rank_scale"),
        ({"rank_scale": 0.1, "rank_multiple": 0}, "rank_multiple"),
        ({"rank_ratio": 0.1, "rank_multiple": 8}, "rank_multiple"),
        ({"execution": "both"}, "execution"),
        ({"lr": -1.0}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"epochs": 1.0, "steps": 3}, "epochs"),
        ({"steps": 0}, "steps"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"decay": "normalized"}, "norms_from"),
        ({"norms_from": "runs/a"}, "norms_from"),
        ({"name": "a/b"}, "name"),
        ({"name": ".."}, "name"),
        ({"recipe": "best"}, "recipe"),
        ({"learning_rate": 0.1}, "learning_rate"),
    ],
)
def test_a_choice_that_makes_no_sense_is_named_with_the_rule_and_the_way_out(choices, field):
    with pytest.raises(ValueError, match=rf"`{field}` must be .*, got .*\. .*\."):
        configure(**{"model": "resnet20", **choices})


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_makes_a_configuration_that_any_choice_overrides(recipe):
    assert configure(recipe, model="resnet50").recipe == recipe
    assert configure(recipe, model="resnet50", lr=0.123).lr == 0.123
    assert configure(recipe, model="resnet50", steps=7).epochs is None
    assert configure(recipe, model="resnet50", epochs=7.0).steps is None


def rates(config, steps_per_epoch, num_steps=None):
    num_steps = num_steps or config.steps or round(config.epochs * steps_per_epoch)
    return [learning_rate(config, step, num_steps, steps_per_epoch) for step in range(num_steps)]


def test_fnls_schedule_is_a_tenth_after_half_and_after_three_quarters_of_the_epochs():
    found = rates(configure("fnl", model="resnet20"), 391)
    assert len(found) == 200 * 391
    assert found[0] == found[100 * 391 - 1] == 0.1
    assert found[100 * 391] == found[150 * 391 - 1] == pytest.approx(0.01)
    assert found[150 * 391] == found[-1] == pytest.approx(0.001)


def test_fnls_deep_networks_begin_with_an_epoch_at_a_tenth():
    found = rates(configure("fnl-deep", model="resnet110"), 391)
    assert found[0] == found[390] == pytest.approx(0.01) and found[391] == 0.1


def test_nlis_schedule_rises_to_its_rate_in_1560_steps_and_falls_as_a_cosine_over_60440():
    config = configure("nli", model="resnet50")
    found = rates(config, 1_281_167 // 4096)
    assert len(found) == 62_000
    assert found[1559] == pytest.approx(1.6) and found[0] == pytest.approx(1.6 / 1560)
    assert found[1560 + 30_220] == pytest.approx(0.8)
    assert 0 < found[-1] < 1e-8


def test_one_process_and_many_cut_a_step_into_the_same_micro_batches():
    config = configure(model="resnet20", batch_size=64, micro_batch_size=8, epochs=2.0)
    assert [StepPlan.of(config, 1000, count).num_micro_batches for count in (1, 2, 4, 8)] == [8, 4, 2, 1]
    assert StepPlan.of(config, 1000, 1).num_steps == 30
    with pytest.raises(ValueError, match="3 processes"):
        StepPlan.of(config, 1000, 3)


NONE_OF_THEM = (math.nan, math.inf, -3, True, "text", b"bytes", [], {}, object())


def nonsense(field):
    """What no field of its kind can be."""
    kind = kinds()[field]
    if field in CHOICES:
        return [*NONE_OF_THEM, *([] if Config.__dataclass_fields__[field].default is None else [None])]
    if kind is bool:
        return [0, 1, "true", math.nan, None, []]
    if kind is int:
        return [SMALLEST[field] - 1, 2**63, 10**400, 1.5, *NONE_OF_THEM]
    if kind is float:
        low, high = map(float, RANGES[field][1:-1].split(","))
        return [low - 1, *([2 * high] if high < math.inf else []), 10**400, *NONE_OF_THEM[:2], *NONE_OF_THEM[3:]]
    if field == "milestones":
        return [(), (7,), (-0.1,), (math.nan,), (True,), ("0.5",), 0.5, "0.5", None]
    return ["", " ", "a\0b", 3, True, math.nan, [], b"bytes"]


@pytest.mark.parametrize("field", kinds())
def test_every_field_refuses_what_is_none_of_its_values_and_says_the_rule_that_is_checked(field):
    config = Config(model="resnet20", rank_scale=0.5)
    for value in nonsense(field):
        if field == "name" and value == "a":
            continue
        with pytest.raises(ValueError, match=rf"`{field}` must be .*, got (.|\n)*\. .*\."):
            replace(config, **{field: value})


@pytest.mark.parametrize("field", RANGES)
def test_the_ends_of_a_range_are_those_of_its_message(field):
    low, high = map(float, RANGES[field][1:-1].split(","))
    other = {"epochs": {"steps": None}, "rank_ratio": {"rank_scale": None}}.get(field, {})
    config = Config(model="resnet20")
    for value, bracket in ((low, RANGES[field][0]), (high, RANGES[field][-1])):
        if bracket in "[]":
            assert getattr(replace(config, **other, **{field: value}), field) == value
        else:
            with pytest.raises(ValueError, match=re.escape(f"`{field}` must be a number in {RANGES[field]}, got")):
                replace(config, **other, **{field: value})


def test_every_number_has_a_range():
    assert {name for name, kind in kinds().items() if kind is float} == set(RANGES)
    assert {name for name, kind in kinds().items() if kind is int} == set(SMALLEST)


def test_numbers_of_numpy_and_paths_become_plain(tmp_path):
    np = pytest.importorskip("numpy")
    config = configure(model="resnet20", seed=np.int64(3), lr=np.float32(0.5), runs=tmp_path, milestones=[0.25])
    assert [type(value) for value in (config.seed, config.lr, config.runs)] == [int, float, str]
    assert config.milestones == (0.25,)
    assert parse("x", command_line(config)) == config


def test_a_name_is_given_once_however_many_ask(tmp_path):
    assert [new_name(tmp_path / "runs", "a") for _ in range(3)] == ["a", "a-2", "a-3"]


def test_the_name_of_a_run_of_ones_own_network_is_that_of_a_folder():
    assert default_name(configure(model="package.networks:build")) == (
        "package.networks.build-unfactorized-frobenius-seed0"
    )


@pytest.mark.parametrize(("rule", "expected"), [("inner", "bd"), ("convolutions", "abd"), ("all", "abdeg")])
def test_which_layers_a_rule_means_goes_by_kind_and_place(rule, expected):
    kinds = {"a": "conv", "b": "conv", "c": "Conv1d", "d": "conv", "e": "linear", "f": "linear", "g": "linear"}
    layers = [SimpleNamespace(name=name, kind=kind, skip_reason="tied" if name in "cf" else None)
              for name, kind in kinds.items()]  # fmt: skip
    found = "".join(layer.name for layer in which_layers(layers, rule))
    assert found == (expected if rule != "inner" else "bde")


@pytest.mark.parametrize("model", [None, 3, ["resnet20"], np.zeros(3)], ids=str)
def test_what_is_no_name_of_a_network_is_refused(model):
    with pytest.raises(ValueError, match="`model` must be the name of a network, got .*Name one"):
        configure("short", model=model)
