"""Spectra as they are kept and read."""

import numpy as np
import pytest

from lrexplore.records import Run, Writer
from lrexplore.records.spectra import MOST_KEPT, QUANTITIES, kept_ranks
from lrexplore.records.table import table_of


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 300, 1000, 2048, 100_000])
def test_the_ranks_that_are_kept_rise_from_the_first_to_the_last_and_are_all_where_they_fit(count):
    ranks = kept_ranks(count)
    assert len(ranks) == min(count, MOST_KEPT) and (np.diff(ranks) > 0).all()
    assert ranks[0] == 1 and ranks[-1] == count


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("law", ["power", "flat with a knee", "geometric"])
def test_what_is_kept_draws_the_same_picture(scale, law):
    k = np.arange(1, 2049)
    values = {"power": 1.0 / k, "flat with a knee": 1 / (1 + np.exp((k - 1200) / 60)), "geometric": 0.99**k}[law]
    ranks = kept_ranks(len(values))
    drawn = np.interp(k, ranks, values[ranks - 1])
    if scale == "linear":  # in shares of the plot's height: a pixel of 500 is .002
        assert np.abs(drawn - values).max() < 0.002 * values[0]
    else:
        drawn = np.exp(np.interp(np.log(k), np.log(ranks), np.log(values[ranks - 1])))
        assert np.abs(np.log10(drawn / values)).max() < 0.02


def row(step, counts, **more):
    values = [float(v) for count in counts for v in range(len(kept_ranks(count)), 0, -1)]
    return {"step": step, "epoch": 1, "num_values": counts, "full_rank": [300] * len(counts), "values": values,
            **{key: [0.5] * len(counts) for key in QUANTITIES}, **more}  # fmt: skip


def written(folder, rows):
    description = {"name": folder.name, "config": {"model": "m"}, "layers": ["a"], "spectra_layers": ["a", "b"]}
    with Writer(folder, description) as writer:
        for each in rows:
            writer.append("spectra", each)
        writer.finish()
        writer.status("done")
    return Run(folder)


def test_a_runs_spectra_are_a_table_of_moments_and_layers_whose_ranks_may_change(tmp_path):
    table = written(tmp_path / "r", [row(0, [4, 300]), row(10, [2, 300])]).spectra()
    assert table[["step", "layer", "num_values"]].values.tolist() == [
        [0, "a", 4], [0, "b", 300], [10, "a", 2], [10, "b", 300]
    ]  # fmt: skip
    assert table["singular_values"][0].tolist() == [4, 3, 2, 1] and table["ranks"][0].tolist() == [1, 2, 3, 4]
    assert len(table["singular_values"][1]) == MOST_KEPT == len(table["ranks"][1])
    assert (table[list(QUANTITIES)] == 0.5).all(axis=None)
    assert table_of(tmp_path / "r", "spectra")["step"].tolist() == [0, 10]


@pytest.mark.parametrize(
    "damage",
    [
        {"num_values": [4]},
        {"num_values": [4, 200]},
        {"values": []},
        {"num_values": [4, None]},
        {"num_values": [4, -1]},
        {"full_rank": [4]},
    ],
    ids=str,
)
def test_a_row_that_does_not_hold_what_it_says_is_left_out(tmp_path, damage):
    table = written(tmp_path / "r", [row(0, [4, 300], **damage), row(10, [4, 300])]).spectra()
    assert table["step"].tolist() == [10, 10]


def test_a_run_without_any_has_an_empty_table_with_the_columns(tmp_path):
    table = written(tmp_path / "r", []).spectra()
    assert len(table) == 0 and {"step", "layer", "singular_values", *QUANTITIES} <= set(table.columns)
