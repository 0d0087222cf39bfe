"""What data/README.md says of the shipped overcomplete runs is what their records hold."""

from pathlib import Path

import lrexplore as lr
from lrexplore.records.pairs import intervals

FOLDER = Path(__file__).parents[2] / "data" / "records-wider"
SAID = (FOLDER.parent / "README.md").read_text(encoding="utf-8")


def table():
    made = lr.outcomes(FOLDER)
    made["arm"] = made["initializer"].str.replace("overcomplete, ", "").str.replace("unfactorized", "ordinary")
    made["arm"] += " | " + made["decay"].str.replace("frobenius", "Frobenius")
    return made[["run", "arm", "seed", "test_top1"]]


def test_every_arm_has_its_row_with_the_accuracies_of_its_seeds():
    arms = table().groupby("arm")
    assert len(arms) == 7
    for arm, rows in arms:
        assert rows["seed"].tolist() == list(range(len(rows))) and len(rows) >= 2
        assert f"| {arm} | {', '.join(f'{value:.1f}' for value in rows['test_top1'])} |" in SAID
    assert f"\n{len(table())} finished runs of thin ResNet-20" in SAID


def test_no_difference_to_the_ordinary_network_is_told_from_0():
    made = table()
    for arm in set(made["arm"]) - {"ordinary | weight"}:
        (row,) = intervals(made, "arm", arm, "ordinary | weight").to_dict("records")
        assert not row["separated"]


def test_the_shipped_runs_stay_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 1e6
