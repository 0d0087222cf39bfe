"""What data/README.md says of the shipped translations is what their records hold."""

from pathlib import Path

import pytest

import lrexplore as lr
from lrexplore.records.pairs import intervals

FOLDER = Path(__file__).parents[2] / "data" / "records-language"
SAID = (FOLDER.parent / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def table():
    made = lr.outcomes(FOLDER, "test_bleu")
    made["arm"] = made["initializer"] + ", " + made["decay"]
    assert (made["qk_decay"] == made["decay"]).all() and (made["ov_decay"] == made["decay"]).all()
    starts = made["initializer"].replace("independent", "drawn")
    assert (made["qk_initializer"] == starts).all() and (made["ov_initializer"] == starts).all()
    return made[["run", "arm", "seed", "test_bleu"]]


def test_every_arm_has_three_seeds_and_the_bleu_of_the_table(table):
    for _, rows in table.groupby("arm"):
        assert rows["seed"].tolist() == [0, 1, 2]
        assert ", ".join(f"{value:.1f}" for value in rows["test_bleu"]) in SAID


@pytest.mark.parametrize(
    ("first", "second", "mean", "low", "high"),
    [
        ("spectral, weight", "independent, weight", 9.1, 0.5, 17.7),
        ("spectral, frobenius", "independent, frobenius", 6.8, -4.0, 17.6),
        ("independent, frobenius", "independent, weight", 4.1, 1.4, 6.7),
        ("spectral, frobenius", "spectral, weight", 1.7, 0.7, 2.7),
        ("spectral, frobenius", "independent, weight", 10.9, 1.4, 20.4),
    ],
)
def test_the_differences_and_their_intervals_are_those_of_the_text(table, first, second, mean, low, high):
    (row,) = intervals(table, "arm", first, second, metric="test_bleu").to_dict("records")
    assert [row["mean"], row["low"], row["high"]] == pytest.approx([mean, low, high], abs=0.06)
