"""What is compared when a folder of runs is opened."""

from pathlib import Path

from explorer.recorded import CONFIG

from lrexplore.explorer.training.comparison import MOST_CURVES, first_comparison
from lrexplore.explorer.training.groups import group_runs
from lrexplore.explorer.training.listed import Listed
from lrexplore.explorer.training.runs import RunList, shipped_records


def run(name, started, state="done", **made):
    config = {**CONFIG, **made, "name": name, "runs": "runs"}
    return Listed(Path("runs", name), config, started=started, status={"state": state})


def arms(*changes, seeds=(0, 1, 2), start=1):
    """Runs of each of these changes of the plain choices, with all seeds, one after the other."""
    made = [(change, seed) for change in changes for seed in seeds]
    return [run(f"{'-'.join(map(str, change.values()))}-{seed}", start + place, seed=seed, **change)
            for place, (change, seed) in enumerate(made)]  # fmt: skip


def names(runs):
    return [run.name for run in first_comparison(runs)]


FUNCTION, SPECTRAL = {"initializer": "function"}, {"initializer": "spectral"}


def test_what_is_live_is_compared_and_nothing_else():
    live = [run("a", 1, "running"), run("b", 9, "starting")]
    assert names([*arms(FUNCTION, SPECTRAL), *live]) == ["a", "b"]


def test_the_newest_arm_is_compared_with_those_that_differ_in_one_choice_with_all_seeds():
    grid = arms(*[{**arm, "decay": decay} for decay in ("weight", "frobenius") for arm in (FUNCTION, SPECTRAL)])
    more = [*grid, *arms({"initializer": "rescaled", "decay": "frobenius"}, seeds=(0, 1), start=50)]
    found = first_comparison(more)
    assert [group.label for group in group_runs(found, "all but the seed")] == [
        "function (3 seeds)", "spectral (3 seeds)", "rescaled (2 seeds)",
    ]  # fmt: skip
    assert {run.config["decay"] for run in found} == {"frobenius"}


def test_of_equally_many_arms_those_with_the_more_telling_choice_are_compared():
    runs = arms({**SPECTRAL, "lr": 0.2}, {**FUNCTION, "lr": 0.1}, {**SPECTRAL, "lr": 0.1})
    assert {run.config["initializer"] for run in first_comparison(runs)} == {"function", "spectral"}


def test_arms_of_other_seeds_are_near_all_the_same():
    runs = [*arms(FUNCTION, seeds=(0,)), *arms(SPECTRAL, seeds=(1,), start=5)]
    assert len(first_comparison(runs)) == 2


def test_an_arm_that_nothing_is_near_to_is_shown_with_the_newest_of_its_model():
    runs = [*arms({"model": "resnet56"}, seeds=(0,)), *arms({**FUNCTION, "lr": 0.2}, seeds=(0,), start=5)]
    runs += arms({**SPECTRAL, "lr": 0.1, "epochs": 8.0}, seeds=(0,), start=9)
    assert {run.config["lr"] for run in first_comparison(runs)} == {0.1, 0.2}
    assert {run.config["model"] for run in first_comparison(runs)} == {"resnet20"}


def test_no_more_curves_than_can_be_read_the_newest_ones():
    runs = arms(*[{"lr": 0.01 * k} for k in range(1, 12)])
    found = first_comparison(runs)
    assert [group.name for group in group_runs(found, "all but the seed")][0] == "lr 0.06"
    assert len(group_runs(found, "all but the seed")) == MOST_CURVES


def test_unfactorized_runs_are_compared_only_where_there_are_no_others():
    whole = arms({"rank_scale": None}, start=50)
    assert not {run.name for run in whole} & set(names([*arms(FUNCTION, SPECTRAL), *whole]))
    assert len(first_comparison(whole)) == 3


def test_what_cannot_be_read_is_not_compared():
    assert names([run("bad", 9, "unreadable")]) == names([]) == []


def test_of_the_shipped_runs_one_network_is_compared_by_initializer_alone():
    runs = RunList(shipped_records())
    runs.poll()
    found = first_comparison(list(runs.runs.values()))
    assert all(group.name == group.runs[0].config["initializer"] for group in group_runs(found, "all but the seed"))
    for key in ("model", "rank_scale", "decay"):
        assert len({run.config[key] for run in found}) == 1
