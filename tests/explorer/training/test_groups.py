"""Which runs make one curve, and how it is told apart from the others."""

from pathlib import Path

import pytest
from explorer.recorded import CONFIG

from lrexplore.explorer.training.groups import BASELINE, GROUPINGS, group_runs
from lrexplore.explorer.training.listed import Listed
from lrexplore.explorer.training.runs import RunList, shipped_records
from lrexplore.theory.styles import STYLES


def run(name, **made):
    return Listed(Path("runs", name), {**CONFIG, **made, "name": name, "runs": "runs"})


def grid(initializers=("function", "spectral"), scales=(0.1,), decays=("frobenius",), seeds=(0, 1, 2)):
    made = [(i, s, d, k) for i in initializers for s in scales for d in decays for k in seeds]
    return [run(f"{i}-{s}-{d}-{k}", initializer=i, rank_scale=s, decay=d, seed=k) for i, s, d, k in made]


def names(groups):
    return [group.label for group in groups]


def test_runs_that_differ_in_their_seed_alone_make_one_curve():
    groups = group_runs(grid(), "all but the seed")
    assert names(groups) == ["function (3 seeds)", "spectral (3 seeds)"]
    assert [group.varies for group in groups] == [("seed",), ("seed",)]
    assert sorted(run.config["seed"] for run in groups[0].runs) == [0, 1, 2]


def test_names_say_what_tells_the_curves_apart_and_nothing_else():
    groups = group_runs(grid(scales=(0.05, 0.1), seeds=(0,)), "all but the seed")
    assert names(groups)[:2] == ["function · rank scale 0.05", "function · rank scale 0.1"]
    assert names(group_runs(grid(["function"], seeds=(4,)), "all but the seed")) == [
        "function · rank scale 0.1 · frobenius decay"
    ]


def test_single_runs_are_told_apart_by_their_seeds_too():
    assert names(group_runs(grid(["function"]), "single runs")) == ["seed 0", "seed 1", "seed 2"]
    assert names(group_runs(grid(seeds=(0, 1)), "single runs"))[0] == "function · seed 0"


def test_a_grouping_pools_runs_and_says_that_more_than_the_seed_varies():
    (group,) = group_runs(grid(["function"], scales=(0.05, 0.1)), "initializer")
    assert group.label == "function (6 runs of 3 seeds)"
    assert group.varies == ("rank_scale", "seed")


def test_a_seed_that_was_run_twice_is_not_counted_as_two_seeds():
    runs = [*grid(["function"]), run("again", seed=1, record_norms=True)]
    (group,) = group_runs(runs, "all but the seed")
    assert group.label.endswith("(4 runs of 3 seeds)")
    assert sorted(sorted(run.name for run in runs) for runs in group.repeats) == [
        ["again", "function-0.1-frobenius-1"], ["function-0.1-frobenius-0"], ["function-0.1-frobenius-2"],
    ]  # fmt: skip
    assert names(group_runs(runs[1:2] + runs[3:], "all but the seed"))[0].endswith("(2 runs of 1 seed)")


def test_the_seeds_of_another_arm_are_no_repeats():
    (group,) = group_runs(grid(["function"], scales=(0.05, 0.1)), "initializer")
    assert [len(runs) for runs in group.repeats] == [1] * 6


@pytest.mark.parametrize(
    "choice", [{"lr": 0.05}, {"augment": False}, {"label_smoothing": 0.1}, {"epochs": 8.0}, {"precision": "bf16"}]
)
def test_runs_that_differ_in_any_choice_that_changes_their_numbers_are_not_pooled(choice):
    ((name, value),) = choice.items()
    groups = group_runs([*grid(["function"]), run("other", **choice)], "all but the seed")
    assert [len(group.runs) for group in groups] == [3, 1]
    word = name.replace("_", " ")
    assert groups[1].name == f"{word} {value:g}" if isinstance(value, float) else f"{word} {value}"


def test_the_shipped_runs_of_the_normalization_experiment_repeat_seeds_and_say_so():
    runs = RunList(shipped_records())
    runs.poll()
    wanted = {"model": "resnet20", "initializer": "spectral", "rank_scale": 0.1}
    arm = [run for run in runs.runs.values() if wanted.items() <= run.config.items()]
    assert names(group_runs(arm, "all but the seed")) == [
        "frobenius decay (6 runs of 3 seeds)", "no decay (3 seeds)", "norms kept, no decay (3 seeds)",
        "weight decay (3 seeds)",
    ]  # fmt: skip


def test_runs_of_one_plan_are_seeds_wherever_its_file_lies_and_another_plan_is_another_curve():
    runs = []
    for seed, rank in ((0, 3), (1, 3), (0, 4)):
        made = run(f"{seed}-{rank}", rank_scale=None, plan=f"runs/{seed}-{rank}/plan.json", seed=seed)
        layers = [{"name": "a", "rank": rank, "scheme": "channel"}]
        made.about = {"plan": {"layers": layers, "parameters": [100, 10 * rank]}}
        runs.append(made)
    groups = group_runs(runs, "all but the seed")
    assert [len(group.runs) for group in groups] == [2, 1]
    assert groups[0].label.startswith("plan that keeps 0.3 of the parameters (")
    assert groups[1].label.startswith("plan that keeps 0.4 of the parameters (")


def test_two_single_runs_that_repeat_each_other_have_two_names():
    groups = group_runs([run("a"), run("again"), run("other", seed=1)], "single runs")
    assert names(groups) == ["a", "again", "seed 1"]


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_every_run_is_in_exactly_one_curve(grouping):
    runs = grid(scales=(0.05, 0.1), decays=("frobenius", "weight")) + [run("whole", rank_scale=None)]
    groups = group_runs(runs, grouping)
    assert sorted(run.name for group in groups for run in group.runs) == sorted(run.name for run in runs)
    assert len({group.name for group in groups}) == len(groups)


def test_an_initializer_has_its_own_color_whatever_else_is_on_screen():
    for runs in (grid(), grid(scales=(0.05, 0.1)), grid(["spectral"])):
        for group in group_runs(runs, "all but the seed"):
            assert group.color == STYLES[group.runs[0].config["initializer"]][0]


@pytest.mark.parametrize("grouping", ["all but the seed", "single runs"])
def test_no_two_curves_of_a_grid_look_alike(grouping):
    seeds = (0,) if grouping == "single runs" else (0, 1)
    axes = ("function", "spectral", "rescaled"), (0.05, 0.1), ("frobenius", "weight"), seeds
    groups = group_runs(grid(*axes), grouping)
    assert len({(group.color, group.dash, group.symbol) for group in groups}) == len(groups) == 12


def test_rank_scales_alone_are_told_apart_by_colors_that_are_no_initializers():
    groups = group_runs(grid(["function"], scales=(0.05, 0.1, 0.2)), "all but the seed")
    assert len({group.color for group in groups}) == 3
    assert not {group.color for group in groups} & {color for color, _ in STYLES.values()}


@pytest.mark.parametrize("grouping", ["all but the seed", "rank scale", "single runs"])
def test_a_choice_has_one_color_whatever_else_is_compared(grouping):
    runs = grid(["function"], scales=(0.05, 0.1, 0.2, 0.4), seeds=(0,))
    alone = [group_runs(pair, grouping, listed=runs) for pair in (runs, runs[1:], runs[2:], [runs[3], runs[1]])]
    colors = [{group.runs[0].name: group.color for group in groups} for groups in alone]
    for some in colors[1:]:
        assert some == {name: colors[0][name] for name in some}


def test_a_run_that_comes_later_changes_no_color():
    runs = grid(["function"], scales=(0.1, 0.2), seeds=(0,))
    for number, run_there in enumerate(runs):
        run_there.started = 1.0 + number
    later = run("0-later", initializer="function", rank_scale=0.05)
    before, after = group_runs(runs, "rank scale"), group_runs([later, *runs], "rank scale")
    assert [group.color for group in after[1:]] == [group.color for group in before]


@pytest.mark.parametrize("num", [7, 20, 40])
@pytest.mark.parametrize("initializers", [["function"], ["function", "spectral"]])
def test_up_to_forty_curves_of_an_initializer_share_no_swatch(num, initializers):
    scales = tuple((number + 1) / (num + 1) for number in range(num))
    groups = group_runs(grid(initializers, scales=scales, seeds=(0,)), "all but the seed")
    assert len({(group.color, group.dash, group.symbol) for group in groups}) == len(groups)


def test_the_lines_of_few_curves_are_told_apart_without_their_markers():
    for runs in (
        grid(["function"], scales=[k / 8 for k in range(1, 8)]),
        grid(scales=(0.1, 0.2), decays=("none", "weight")),
    ):
        groups = group_runs(runs, "all but the seed")
        assert len({(group.color, group.dash) for group in groups}) == len(groups)


def test_runs_that_repeat_each_other_look_unlike():
    first, again = group_runs([run("a"), run("again")], "single runs")
    assert (first.color, first.dash) != (again.color, again.dash)


def test_unfactorized_runs_are_called_so_and_what_they_did_not_use_does_not_count():
    whole = [run("a", rank_scale=None, decay="weight"), run("b", rank_scale=None, seed=1, initializer="spectral")]
    assert whole[0].choices["initializer"] == "unfactorized"
    groups = group_runs([*grid(["function"]), *whole], "all but the seed")
    assert names(groups) == ["function (3 seeds)", "unfactorized (2 seeds)"]


def test_baselines_are_dashed_gray_last_and_in_no_other_curve():
    runs = grid()
    groups = group_runs(runs, "initializer", baseline=runs[3:])
    assert names(groups) == ["function (3 seeds)", "baseline: spectral · rank scale 0.1 · frobenius decay (3 seeds)"]
    assert (groups[1].color, groups[1].dash) == BASELINE
    assert groups[1].is_baseline


def test_where_a_run_lies_and_what_made_it_is_no_choice():
    elsewhere = run("b", seed=0, device="cuda", workers=8)
    assert len(group_runs([run("a"), elsewhere], "all but the seed")) == 1


def test_no_runs_make_no_curves():
    assert group_runs([], "all but the seed") == []
