"""Which runs make one curve, and how it is told apart from the others."""

from pathlib import Path

import pytest
from explorer.recorded import CONFIG

from lrexplore.explorer.figures import STYLES
from lrexplore.explorer.run_groups import BASELINE, GROUPINGS, choices, group_runs
from lrexplore.explorer.run_list import Listed


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
    assert group.label == "function (6 runs)"
    assert group.varies == ("rank_scale", "seed")


def test_a_seed_that_was_run_twice_is_not_counted_as_two_seeds():
    (group,) = group_runs([*grid(["function"]), run("again", seed=1)], "all but the seed")
    assert group.label.endswith("(4 runs)")


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


def test_unfactorized_runs_are_called_so_and_what_they_did_not_use_does_not_count():
    whole = [run("a", rank_scale=None, decay="weight"), run("b", rank_scale=None, seed=1, initializer="spectral")]
    assert choices(whole[0])["initializer"] == "unfactorized"
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
