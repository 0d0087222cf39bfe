import json

import pytest
import torch

from lrexplore.bench.certificate import Bar, best_error, main
from lrexplore.dual import function_error
from lrexplore.init import initialize


def test_no_floor_of_hundreds_of_small_problems_is_above_an_exhaustive_search(tmp_path, capsys):
    path = tmp_path / "found.json"
    assert main(["violations", "--count", "200", "--threads", "1", "--json", str(path)]) == 0
    [row] = json.loads(path.read_text())
    assert row["measured"] == 0 and row["verdict"] == "ok" and "200" in row["what"]
    assert "0 of 200 floors above the optimum" in capsys.readouterr().out


@pytest.mark.parametrize("n, rank", ((2, 1), (3, 1), (3, 2)))
def test_exhaustive_search_finds_what_many_starts_find(n, rank):
    for seed in range(5):
        weight = torch.randn(6, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        climbed = function_error(weight, initialize(weight, rank, num_starts=30, tolerance=1e-12))
        # a grid of 4000 points is some .03 from every plane or line of space, and the error is flat at its least
        assert climbed - 1e-9 <= best_error(weight, rank) <= climbed + 1e-3


def test_a_bar_is_held_up_to_its_limit():
    assert Bar("", 2.0, 2.0, "s", "").verdict == "ok" and Bar("", 2.1, 2.0, "s", "").verdict == "ABOVE"


def test_an_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "`part` must be one of gaps" in capsys.readouterr().err
