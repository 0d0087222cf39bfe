"""A person's own network and images: trained, resumed, swept, loaded, by one process and by two."""

import importlib
import sys

import pytest
import torch
from training.runs import numbers, same_weights, tiny
from training.test_processes import two_processes

import lrexplore as lr
from lrexplore.records import Run, runs
from lrexplore.training.run import run
from lrexplore.training.sweep import grid, sweep

MODULE = '''
import random
import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset, Subset, TensorDataset


def build(num_classes):
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(8, 16, 3),
                         nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(body, nn.Flatten(), nn.Linear(16, num_classes))


def three(width=16):
    return build(3)


def words():
    return "no network"


class Drawn(Dataset):
    """Images that are drawn at random, from three generators, whenever they are asked for."""

    def __init__(self, count, kind="float"):
        self.count, self.kind = count, kind

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        pixels = torch.rand(3, 12, 12) + np.random.rand() + random.random() + index % 3
        if self.kind == "pil":
            return Image.fromarray((40 * pixels).byte().permute(1, 2, 0).numpy()), index % 3
        return (40 * pixels).byte() if self.kind == "bytes" else pixels, index % 3


def images():
    return Drawn(48), Drawn(8), Drawn(8)


def byte_images():
    return Drawn(48, "bytes"), Subset(Drawn(8, "bytes"), range(4)), Drawn(8, "bytes")


def pictures():
    return Drawn(48, "pil"), Drawn(8, "pil"), Drawn(8, "pil")


def negative():
    return [TensorDataset(torch.rand(16, 3, 12, 12), torch.tensor([0, 1, 2, -100] * 4)) for _ in range(3)]


def two_sets():
    return Drawn(48), Drawn(8)
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The module of a person, in a folder that only this process has on its path."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path / "mine")
    yield importlib.import_module("own_networks")
    del sys.modules["own_networks"]


def own_run(folder, name, **choices):
    options = {
        "model": "own_networks:build",
        "data": "own_networks:images",
        "num_images": None,
        "layers": "convolutions",
    }
    return tiny(folder, name, **{**options, "rank_scale": 0.4, **choices})


@pytest.mark.parametrize("data", ["images", "byte_images", "pictures"])
def test_a_stopped_run_of_ones_own_goes_on_with_the_same_bits(own, tmp_path, data):
    whole, parts = (own_run(tmp_path, name, data=f"own_networks:{data}") for name in ("whole", "parts"))
    torch.manual_seed(3)
    assert run(whole) == "done"
    left = iter([False, False, False, True])
    torch.manual_seed(4)
    assert run(parts, should_stop=lambda: next(left)) == "stopped"
    assert run(parts) == "done"
    assert numbers(parts) == numbers(whole) and same_weights(parts, whole)
    assert len({row["loss"] for row in numbers(whole)["steps"]}) == 6


def test_a_run_given_by_its_functions_is_trained_listed_loaded_and_swept_by_other_processes(own, tmp_path):
    config = own_run(tmp_path, None, steps=2)
    choices = {name: value for name, value in config.as_dict().items() if value is not None and name != "resume"}
    started = lr.train(**{**choices, "model": own.build, "data": own.images, "runs": tmp_path / "runs", "name": "a"})
    assert started.wait(120) == "done", (started.folder / "log.txt").read_text()
    row = runs(tmp_path / "runs").iloc[0]
    assert (row["model"], row["data"], row["state"]) == ("own_networks:build", "own_networks:images", "done")
    model = lr.load(tmp_path / "runs" / "a")
    assert model(torch.rand(2, 3, 12, 12)).shape == (2, 3)
    assert [record.name for record in model.factorization if record.rank] == ["0.0", "0.4", "0.7"]
    configs = grid(**{**choices, "runs": str(tmp_path / "runs"), "seed": [0, 1]})
    assert sweep(configs) == []
    assert {config.name for config in configs} == {
        f"own_networks.build-spectral-0.4-frobenius-seed{seed}" for seed in (0, 1)
    }


def test_two_processes_train_ones_own_network_as_one_does(own, tmp_path):
    one, two = (own_run(tmp_path, name, micro_batch_size=8, steps=3) for name in ("one", "two"))
    run(one), two_processes(two)
    for mine, theirs in zip(numbers(one)["steps"], numbers(two)["steps"], strict=True):
        assert abs(mine["loss"] - theirs["loss"]) <= 1e-5


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"model": "own_networks:words"}, "`model` must be a function that returns an nn.Module, got .*a str"),
        ({"model": "own_networks:three", "data": "fashion-mnist", "num_images": 32, "rank_scale": None},
         r"`model` must give one number for each image and class, shape \(16, 10\), got \(16, 3\)"),
        ({"data": "own_networks:negative"}, r"`data` must have labels in 0..2, got -100"),
        ({"data": "own_networks:two_sets"}, r"`data` must be a function that returns the sets .* got 2 of them"),
        ({"data": "own_networks:images", "num_images": 49}, "`num_images` must lie in 1..48"),
    ],
    ids=["no network", "other classes", "a label outside", "two sets", "more images than there are"],
)  # fmt: skip
def test_what_ones_own_functions_must_not_return_is_said_in_a_sentence(own, tmp_path, choices, words):
    with pytest.raises(ValueError, match=words):
        run(own_run(tmp_path, "a", **choices))


def test_a_run_without_its_module_says_where_it_was_looked_for(own, tmp_path, monkeypatch):
    run(own_run(tmp_path, "a", steps=1))
    for path in (tmp_path / "mine").glob("*.py"):
        path.unlink()
    monkeypatch.delitem(sys.modules, "own_networks")
    with pytest.raises(ImportError, match="there is no own_networks in .*PYTHONPATH"):
        lr.load(tmp_path / "a")
    assert Run(tmp_path / "a").status["state"] == "done"
    monkeypatch.setitem(sys.modules, "own_networks", own)
