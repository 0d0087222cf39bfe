"""The runs of one budget that came along: what is said of them is what their networks are."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from lrexplore.bench.budget import costs, network_as_built, outcomes_by_way, paired
from lrexplore.network import collapse, find_layers
from lrexplore.nn.sparse import sparse_layers
from lrexplore.recipes.config import Config

FOLDER = Path(__file__).parents[2] / "data" / "records-forms"


def described(way):
    for path in sorted(FOLDER.glob("*/run.json")):
        found = json.loads(path.read_text())
        if path.parent.name.startswith(way):
            return found
    raise AssertionError(way)


@pytest.mark.parametrize("way", ["matrix", "tucker", "tt", "rigl", "grasp", "random", "narrow"])
def test_a_network_as_built_has_the_parameters_that_its_run_recorded(way):
    found = described(way)
    model = network_as_built(Config.of_record(found["config"]), found["num_classes"])
    counted = costs(model)
    assert counted["parameters"] == found["num_parameters"]
    masks = sum(layer.mask.numel() for layer in sparse_layers(model).values())
    assert counted["bytes"] == pytest.approx(4 * counted["parameters"] + masks / 8, abs=18)
    example = torch.zeros(1, 3, 28, 28)
    whole = find_layers(collapse(model), example).flops
    assert 0.02 * whole < counted["multiply-adds"] <= whole * (1 if way == "narrow" else 0.2)


def test_all_runs_are_done_small_and_at_their_budget():
    runs = outcomes_by_way(FOLDER)
    assert set(runs["budget"]) <= {0.1, 0.05, 1.0} and runs["top1"].between(10, 95).all()
    assert {"low rank", "Tucker-2", "tensor train", "rigl", "set", "snip", "grasp"} <= set(runs["way"])
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 1_000_000


def test_a_seed_counts_once_in_a_difference():
    rows = [("a", 0, 80.0), ("a", 0, 82.0), ("b", 0, 80.0), ("a", 1, 85.0), ("b", 1, 82.0), ("b", 2, 10.0)]
    runs = pd.DataFrame(rows, columns=["way", "seed", "top1"])
    found = paired(runs, {"way": "a"}, {"way": "b"})
    assert (found["mean"], found["seeds"], found["separated"]) == (2.0, 2, False)
    with pytest.raises(ValueError, match="must share a seed"):
        paired(runs, {"way": "a"}, {"way": "c"})
