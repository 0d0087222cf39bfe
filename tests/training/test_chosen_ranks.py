"""A run by plan keeps the plan: its records say the ranks, and it goes on by them or says what has changed."""

import json
import math

import pytest
from training.runs import numbers, same_weights, tiny, weights, write_images

from lrexplore.models.cifar_resnet import cifar_resnet
from lrexplore.ranks import LayerPlan, RankPlan
from lrexplore.records.layout import read_json
from lrexplore.training.chosen_ranks import load_plan
from lrexplore.training.run import run

LAYER = "layer1.0.conv1"


class Killed(BaseException):
    """What ends a run without a word and without a checkpoint."""


def kill():
    raise Killed


def plan_of(rank, scheme="spatial", name=LAYER):
    weight = cifar_resnet("resnet20").get_submodule(name).weight
    sizes = {"parameters_before": weight.numel(), "parameters_after": 96 * rank}
    layer = LayerPlan(name=name, weight_shape=tuple(weight.shape), rank=rank, scheme=scheme, **sizes)
    about = {"initializer": "spectral", "inputs": "none", "method": "by hand", "budget": "none"}
    return RankPlan(layers=(layer,), error=math.nan, gap=None, parameters=(2304, 96 * rank), **about)


@pytest.fixture
def config(tmp_path):
    write_images(tmp_path / "images")
    plan_of(3).save(tmp_path / "plan.json")
    return tiny(tmp_path, "a", rank_scale=None, plan=str(tmp_path / "plan.json"), steps=2)


def test_the_records_hold_the_plan_as_json_that_every_reader_takes(config, tmp_path):
    assert run(config) == "done"
    text = (tmp_path / "a" / "run.json").read_text()
    recorded = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["plan"]
    assert recorded["layers"][0] | {"name": LAYER, "rank": 3, "scheme": "spatial"} == recorded["layers"][0]
    assert recorded["error"] is None


def test_a_run_without_a_plan_records_none(tmp_path):
    write_images(tmp_path / "images")
    run(tiny(tmp_path, "a", steps=1))
    assert "plan" not in read_json(tmp_path / "a" / "run.json")


@pytest.mark.parametrize("change", ["nothing", "gone", "said in other words"])
def test_a_run_goes_on_by_its_own_plan_whatever_became_of_the_file(config, tmp_path, change):
    with pytest.raises(Killed):
        run(config, should_stop=kill)
    if change == "gone":
        (tmp_path / "plan.json").unlink()
    elif change == "said in other words":
        text = (tmp_path / "plan.json").read_text().replace("by hand", "knapsack").replace("NaN", "0.5")
        (tmp_path / "plan.json").write_text(text)
    assert run(config) == "done"
    assert weights(config)[f"{LAYER}.left"].shape[-1] == 3
    if change == "gone":
        plan_of(3).save(tmp_path / "plan.json")
    whole = tiny(tmp_path, "whole", rank_scale=None, plan=str(tmp_path / "plan.json"), steps=2)
    run(whole)
    assert numbers(config) == numbers(whole)
    assert same_weights(config, whole)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ((4,), f"rank 4 \\(spatial\\) for {LAYER}, which had rank 3 \\(spatial\\)"),
        ((3, "channel"), f"rank 3 \\(channel\\) for {LAYER}"),
        ((3, "spatial", "layer1.0.conv2"), f"no rank for {LAYER}, which had rank 3"),
    ],
    ids=["rank", "scheme", "layer"],
)
def test_a_file_that_says_another_plan_by_now_is_refused_before_anything_is_written(config, tmp_path, other, words):
    with pytest.raises(Killed):
        run(config, should_stop=kill)
    plan_of(*other).save(tmp_path / "plan.json")
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    with pytest.raises(ValueError, match=rf"`plan` must say what it said .* got {words}.*Remove that file"):
        run(config)
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before


def test_a_new_run_needs_its_file(config, tmp_path):
    (tmp_path / "plan.json").unlink()
    with pytest.raises(FileNotFoundError, match="`plan` must be a file"):
        run(config)
    assert not (tmp_path / "a" / "run.json").exists()
    with pytest.raises(FileNotFoundError, match="Check the path"):
        load_plan(tmp_path / "none")
