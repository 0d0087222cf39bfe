import json

import pytest
import torch

from lrexplore.bench.init import full_svds, main, tasks, verdicts
from lrexplore.models import load_model


def test_the_whole_of_resnet50_is_54_matrices():
    work = tasks(load_model("resnet50"), "network")
    assert len(work) == 54
    assert sum(task.weight.numel() for task in work) == sum(
        x.weight.numel() for x in load_model("resnet50").modules() if isinstance(x, torch.nn.Conv2d | torch.nn.Linear)
    )
    assert {task.activation for task in work} == {"relu", "identity"}
    assert sum(task.batch_norm is not None for task in work) == 53


def test_a_small_network_is_measured_checked_and_written_down(tmp_path, capsys, monkeypatch):
    model = torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    monkeypatch.setattr("lrexplore.bench.init.load_model", lambda name, weights: model)
    threads = torch.get_num_threads()
    written = tmp_path / "numbers.json"
    arguments = ["--rank-scale", "0.5", "--repeats", "2", "--threads", "1", "--sampled", "--json", str(written)]
    assert main(arguments) == 0
    assert torch.get_num_threads() == threads
    found = json.loads(written.read_text())
    assert [row["initializer"] for row in found["costs"]] == [
        "independent", "spectral", "rescaled", "function", "sampled",
    ]  # fmt: skip
    assert all(row["ratio"] > 0 for row in found["costs"])
    assert [check["layers"] for check in found["checks"]] == [2]
    assert found["checks"][0]["above"] == 0
    printed = capsys.readouterr().out
    assert "2 matrices" in printed and "`function` above `rescaled` or `spectral` in 0 of 2 layers" in printed


def test_a_layer_that_got_worse_or_stayed_is_counted():
    errors = [
        {"spectral": 0.5, "rescaled": 0.4, "function": 0.3},
        {"spectral": 0.5, "rescaled": 0.4, "function": 0.4},
        {"spectral": 0.5, "rescaled": 0.4, "function": 0.45},
    ]
    assert verdicts(errors) == {"layers": 3, "above": 1, "equal": 1}


def test_every_matrix_is_decomposed_under_both_schemes(monkeypatch):
    seen = []
    monkeypatch.setattr(torch.linalg, "svd", lambda matrix, full_matrices, driver: seen.append(tuple(matrix.shape)))
    work = tasks(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 3, groups=4)), "relu")
    full_svds(work, "channel")
    full_svds(work, "spatial")
    assert seen == [(4, 27), (12, 9)]


@pytest.mark.parametrize("arguments", [["--repeats", "0"], ["--threads", "-1"], ["--scheme", "rows"]])
def test_arguments_that_make_no_sense_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


def test_a_rank_scale_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="`rank_scale` must lie in"):
        main(["--rank-scale", "2"])
