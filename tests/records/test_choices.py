"""What of a run.json its numbers depend on."""

from dataclasses import fields
from pathlib import Path

import pytest

from lrexplore.recipes.config import FREE, Config
from lrexplore.records.choices import LATER, SILENT, choices, differing, identity, plan_name
from lrexplore.records.layout import read_json

SHIPPED = Path(__file__).parents[2] / "data" / "records" / "resnet20-function-0.1-frobenius-seed0" / "run.json"
PLAN = {"layers": [{"name": "a", "rank": 3, "scheme": "channel", "error": 0.2}], "parameters": [10, 4]}


def config(**made):
    return {"config": Config(model="resnet20", **made).as_dict()}


def test_every_choice_of_a_training_is_one_or_is_known_to_change_no_number():
    assert set(FREE) <= set(SILENT)
    assert {field.name for field in fields(Config)} == choices(config(rank_scale=0.1)).keys() | set(SILENT)


def test_a_choice_that_came_later_is_what_older_runs_did():
    later = {field.name: field.default for field in fields(Config) if field.name not in read_json(SHIPPED)["config"]}
    assert later == LATER
    assert differing([choices(read_json(SHIPPED)), choices(config(rank_scale=0.1, data="fashion-mnist-full"))]) == []


@pytest.mark.parametrize("silent", [{"device": "cpu"}, {"workers": 0}, {"record_norms": True}, {"name": "again"}])
def test_where_and_how_a_run_was_made_makes_no_other_run(silent):
    assert identity(choices(config(**silent))) == identity(choices(config()))


def test_four_epochs_are_four_epochs_however_they_are_written():
    assert identity(choices(config(epochs=4))) == identity(choices(config(epochs=4.0)))
    assert differing([choices(config(epochs=4)), choices(config(epochs=4.0)), choices(config(epochs=5))]) == ["epochs"]


def test_images_at_once_are_those_of_one_process_chosen_or_not():
    one, two = config(batch_size=128), {**config(batch_size=128), "environment": {"num_processes": 2}}
    assert choices(one)["micro_batch_size"] is choices(config(micro_batch_size=128))["micro_batch_size"] is None
    assert choices(two)["micro_batch_size"] == choices(config(micro_batch_size=64))["micro_batch_size"] == 64


def test_norms_are_those_of_another_arm_whatever_the_seed():
    made = [choices(config(rank_scale=0.1, decay="normalized", norms_from=f"x{seed}/f-seed{seed}-lr0.1", seed=seed))
            for seed in (1, 11)]  # fmt: skip
    assert differing(made) == ["seed"]
    assert made[0]["norms_from"] == "f-lr0.1"
    assert identity(made[0], seed=False) == identity(made[1], seed=False)


def test_a_plan_is_what_it_says_and_not_where_it_lies():
    here, there = ({**config(plan=path), "plan": PLAN} for path in ("a.json", "b.json"))
    assert choices(here) == choices(there)
    assert choices(here)["plan"] == plan_name(PLAN)
    assert plan_name(PLAN).startswith("0.4 of the parameters (")
    other = {**PLAN, "layers": [{**PLAN["layers"][0], "rank": 2}]}
    assert plan_name(other) != plan_name(PLAN)
    error = {**PLAN, "layers": [{**PLAN["layers"][0], "error": 0.9}]}
    assert plan_name(error) == plan_name(PLAN)


def test_an_unfactorized_run_has_made_no_choice_of_factors():
    assert identity(choices(config(decay="weight"))) == identity(choices(config(initializer="spectral")))
    assert choices(config())["initializer"] == "unfactorized"


def test_runs_from_the_networks_of_their_seeds_are_one_choice_and_a_factorized_start_has_its_decay():
    runs = [
        {**config(start=f"runs/whole-seed{seed}/best.pt", seed=seed), "start": {"layers": {"fc": {}}}}
        for seed in (0, 1)
    ]
    assert differing([choices(run) for run in runs]) == ["seed"]
    assert choices(runs[0])["decay"] == "frobenius" and choices(config(start="a.pt"))["decay"] == "weight"
    assert differing([choices(config(start="a.pt")), choices(config(start="b.pt"))]) == ["start"]
