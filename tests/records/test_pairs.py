"""Paired differences and their intervals against sums done by hand and scipy."""

import math

import pytest
from scipy import stats

from lrexplore.records import Writer
from lrexplore.records.pairs import (
    in_words,
    interval,
    intervals,
    outcomes,
    paired_differences,
    student_quantile,
    summary,
)

# One test top-1 for every initializer, decay and seed.
FOUND = {
    ("function", "frobenius"): (86.0, 88.0, 87.0), ("spectral", "frobenius"): (85.0, 86.5, 85.5),
    ("function", "weight"): (84.0, 85.0, 86.0), ("spectral", "weight"): (84.5, 84.0, 86.5),
}  # fmt: skip


def make_run(folder, found, **config):
    config = {"model": "resnet20", "data": "fashion-mnist", "rank_scale": 0.1, "scheme": "channel", **config}
    with Writer(folder, {"name": folder.name, "config": config, "layers": []}) as writer:
        writer.append("epochs", {"step": 1, "epoch": 1, "held_out_top1": 1.0})
        if found is not None:
            writer.append("epochs", {"step": 1, "epoch": 1, "test_top1": found})
        writer.status("done", step=1)


@pytest.fixture
def table(tmp_path):
    for (initializer, decay), values in FOUND.items():
        for seed, value in enumerate(values):
            name = f"{initializer}-{decay}-{seed}"
            make_run(tmp_path / name, value, initializer=initializer, decay=decay, seed=seed)
    make_run(tmp_path / "unfinished", None, initializer="function", decay="frobenius", seed=9)
    make_run(tmp_path / "whole", 90.0, rank_scale=None, initializer="function", decay="weight", seed=0)
    return outcomes(tmp_path)


def test_every_finished_run_is_a_row_with_its_last_value(table):
    assert len(table) == 13
    assert "unfinished" not in set(table["run"])
    row = table.set_index("run").loc["spectral-weight-2"]
    assert (row["initializer"], row["decay"], row["seed"], row["test_top1"]) == ("spectral", "weight", 2, 86.5)


def test_unfactorized_runs_are_called_so(table):
    assert table[table["initializer"] == "unfactorized"]["run"].tolist() == ["whole"]


def test_a_summary_is_mean_and_sample_deviation_of_each_choice(table):
    rows = summary(table).set_index(["initializer", "decay"])
    row = rows.loc[("function", "frobenius")]
    assert (row["mean"], row["deviation"], row["runs"], row["seeds"]) == (87, 1, 3, 3)


def test_a_seed_that_was_run_twice_counts_once_by_its_mean(tmp_path, table):
    make_run(tmp_path / "again", 90.0, initializer="function", decay="frobenius", seed=1, record_norms=True)
    table = outcomes(tmp_path)
    row = summary(table).set_index(["initializer", "decay"]).loc[("function", "frobenius")]
    assert (row["mean"], row["runs"], row["seeds"]) == (pytest.approx((86 + 89 + 87) / 3), 4, 3)
    assert row["deviation"] == pytest.approx(math.sqrt(7 / 3))
    pairs = paired_differences(table, "initializer", "function", "spectral").set_index(["decay", "seed"])
    assert pairs["difference"]["frobenius", 1] == 89 - 86.5
    assert len(pairs) == 6


def test_runs_that_differ_in_another_choice_of_weight_make_no_pair(tmp_path, table):
    make_run(tmp_path / "slow", 70.0, initializer="rescaled", decay="weight", seed=0, lr=0.01)
    table = outcomes(tmp_path)
    assert table.set_index("run")["lr"]["slow"] == 0.01
    with pytest.raises(ValueError, match="got no such pair"):
        paired_differences(table, "initializer", "rescaled", "spectral")


def test_runs_with_kept_norms_are_paired_with_those_whose_decay_differs(tmp_path):
    make_run(tmp_path / "a-seed0", 80.0, initializer="spectral", decay="none", seed=0, norms_from=None)
    kept = "elsewhere/f-seed0"
    make_run(tmp_path / "b-seed0", 81.0, initializer="spectral", decay="normalized", seed=0, norms_from=kept)
    (difference,) = paired_differences(outcomes(tmp_path), "decay", "normalized", "none")["difference"]
    assert difference == 1


def test_differences_are_taken_seed_by_seed(table):
    pairs = paired_differences(table, "initializer", "function", "spectral")
    found = pairs.set_index(["decay", "seed"])["difference"].to_dict()
    assert found == {
        ("frobenius", 0): 1.0, ("frobenius", 1): 1.5, ("frobenius", 2): 1.5,
        ("weight", 0): -0.5, ("weight", 1): 1.0, ("weight", 2): -0.5,
    }  # fmt: skip


def test_an_interval_is_that_of_a_computation_by_hand(table):
    # 1, 1.5, 1.5: mean 4/3, sample variance 1/12, t = 4.302652729911 at .975 with 2 degrees of freedom.
    rows = intervals(table, "initializer", "function", "spectral", by=("decay",)).set_index("decay")
    half = 4.302652729911 * math.sqrt(1 / 12 / 3)
    row = rows.loc["frobenius"]
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((4 / 3, 4 / 3 - half, 4 / 3 + half), rel=1e-9)
    assert row["pairs"] == row["seeds"] == 3
    assert row["separated"]
    assert not rows.loc["weight", "separated"]


def test_without_a_grouping_all_pairs_make_one_interval_in_which_a_seed_counts_once(table):
    (row,) = intervals(table, "decay", "frobenius", "weight").to_dict("records")
    assert (row["pairs"], row["seeds"]) == (6, 3)
    seeds = [(2 + 0.5) / 2, (3 + 2.5) / 2, (1 - 1) / 2]
    assert (row["mean"], row["low"], row["high"]) == pytest.approx(interval(seeds))
    assert "6 pairs of 3 seeds" in in_words(row, "frobenius − weight")


def test_words_say_what_an_interval_does_not_tell(table):
    rows = intervals(table, "initializer", "function", "spectral", by=("decay",)).set_index("decay")
    assert in_words(rows.loc["frobenius"], "f − s").endswith("3 seeds); 0 lies outside")
    assert in_words(rows.loc["frobenius"], "f − s").startswith("f − s: +1.33 points (95% interval +0.62 to +2.05")
    assert "0 lies inside, not told apart" in in_words(rows.loc["weight"], "f − s")


@pytest.mark.parametrize("count", [2, 3, 4, 5, 9, 40])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_an_interval_is_scipys(count, level):
    values = [math.sin(3 * k) + k / 7 for k in range(count)]
    mean, low, high = interval(values, level)
    expected = stats.t.interval(level, count - 1, loc=mean, scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 30, 101])
@pytest.mark.parametrize("probability", [0.001, 0.3, 0.5, 0.9, 0.975, 0.9999])
def test_a_quantile_is_scipys(freedom, probability):
    expected = stats.t.ppf(probability, freedom)
    assert student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_a_single_pair_says_nothing_of_its_spread():
    assert interval([0.7]) == (0.7, -math.inf, math.inf)


def test_what_makes_no_pairs_is_refused(table):
    with pytest.raises(ValueError, match="got no such pair"):
        paired_differences(table, "initializer", "function", "rescaled")
    with pytest.raises(ValueError, match="`choice` must be a column"):
        paired_differences(table, "moon", 1, 2)
    with pytest.raises(ValueError, match="at least one"):
        interval([])


def test_a_metric_that_no_run_has_is_refused(tmp_path, table):
    with pytest.raises(ValueError, match="`metric` must be a column.*held_out_top1"):
        outcomes(tmp_path, "accuracy")
