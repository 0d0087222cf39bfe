"""The campaign finds faults, and finds none in a few tries of each kind."""

import json

import pytest

from lrexplore.bench.faults import main
from lrexplore.bench.faults.verdict import Tally, Wrong, is_ours
from lrexplore.linalg import check_rank


def raised(call):
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_an_error_is_ours_by_where_it_was_raised_and_by_its_four_parts():
    assert is_ours(raised(lambda: check_rank(9, (2, 2))))
    assert not is_ours(raised(lambda: int("x")))
    error = ValueError("`rank` must be small, got 9. Choose 2.")
    assert not is_ours(raised(lambda: (_ for _ in ()).throw(error)))  # the same words, from another place


def test_a_tally_tells_right_answers_refusals_wrong_answers_hangs_and_errors_apart():
    def spin():
        while True:
            pass

    def wrong():
        raise Wrong("2 + 2 = 5")

    tally = Tally("things", limit_s=0.05)
    for number, call in enumerate((lambda: 1, lambda: check_rank(9, (2, 2)), wrong, spin, lambda: 1 / 0)):
        tally.attempt(number, call)
    assert (tally.tried, tally.right, tally.refused) == (5, 1, 1)
    assert [number for number, _ in tally.faults] == [2, 3, 4]
    first, *kinds = tally.lines()
    assert "5 tried" in first and len(kinds) == 3


@pytest.mark.parametrize(
    ("what", "count"), [("calls", 120), ("records", 4), ("files", 20), ("disk", 10), ("commands", 8), ("kills", 1)]
)
def test_a_few_tries_find_no_fault(what, count, tmp_path, capsys):
    status = main([what, f"--{what}", str(count), "--seed", "7", "--json", str(tmp_path / "found.json")])
    assert status == 0, capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())[what]
    assert found["faults"] == [] and found["right"] + found["refused"] >= count


def test_a_number_of_tries_that_is_none_is_refused(capsys):
    for arguments in (["nothing"], ["--calls", "-1"], ["--calls", "x"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert "got" in capsys.readouterr().err
