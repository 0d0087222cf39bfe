import os
import resource
import signal

import pytest
import torch
from torch import nn
from training.runs import numbers, tiny

from lrexplore import cli
from lrexplore.models import catalogue
from lrexplore.recipes.arguments import command_line, parse
from lrexplore.records import Run
from lrexplore.training.__main__ import main
from lrexplore.training.run import run


@pytest.fixture(autouse=True)
def signals():
    """`main` takes over the signals of its process, which here is pytest's."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_run_that_ends_well_has_status_zero_and_prints_its_epochs(tmp_path, capsys):
    config = tiny(tmp_path, "a")
    assert main(command_line(config)) == 0
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["epoch 1", "epoch 2"]
    assert Run(tmp_path / "a").status["state"] == "done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_a_checkpoint_and_status_130(tmp_path, number, monkeypatch):
    calls = []

    class Signals(nn.Module):
        def forward(self, x):
            calls.append(self.training)
            if len(calls) == 2:
                os.kill(os.getpid(), number)
            return x

    def network(num_classes):
        return nn.Sequential(Signals(), nn.Conv2d(3, 8, 16), nn.Flatten(), nn.Linear(8, num_classes))

    monkeypatch.setitem(catalogue.OWN, "signals", network)
    config = tiny(tmp_path, "a", model="signals", rank_scale=None)
    assert main(command_line(config)) == 130
    status = Run(tmp_path / "a").status
    assert status["state"] == "stopped"
    assert status["step"] == len(numbers(config)["steps"]) < 6
    assert torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)["step"] == status["step"]
    assert main(command_line(config)) == 0


def failure(arguments, capsys):
    assert main(arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("lrexplore train: `")
    return lines[0]


def test_a_missing_folder_is_one_line_with_the_way_out(tmp_path, capsys):
    line = failure(["resnet20", "--data", str(tmp_path / "missing"), "--runs", str(tmp_path)], capsys)
    assert "`data` must be a folder" in line and "Check the path" in line


def test_an_unknown_network_names_the_nearest(tmp_path, capsys):
    assert "Nearest: resnet" in failure(["resnet21", "--runs", str(tmp_path)], capsys)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"batch_size": 4000}, "`batch_size` must be at most the 48 training images"),
        ({"micro_batch_size": 5}, "`batch_size` must be a multiple"),
        ({"rank_scale": 0.99, "scheme": "spatial"}, "`rank_scale` must leave a layer"),
    ],
)
def test_choices_that_cannot_be_followed_are_one_line(tmp_path, capsys, choices, words):
    assert words in failure(command_line(tiny(tmp_path, "a", **choices)), capsys)


def test_a_loss_that_is_not_finite_names_the_step_and_the_layer(tmp_path, capsys, monkeypatch):
    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += self.training
            return x / 0 if self.calls > 3 else x

    def network(num_classes):
        body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), Breaks(), nn.AdaptiveAvgPool2d(1))
        return nn.Sequential(body, nn.Flatten(), nn.Linear(8, num_classes))

    monkeypatch.setitem(catalogue.OWN, "breaks", network)
    config = tiny(tmp_path, "a", model="breaks", rank_scale=None)
    line = failure(command_line(config), capsys)
    assert "at step 4, first in the output of layer `0.3`" in line and "Lower `lr`" in line
    assert [row["step"] for row in numbers(config)["steps"]] == [1, 2, 3]
    status = Run(tmp_path / "a").status
    assert status["state"] == "failed" and "at step 4" in status["message"]


def test_a_rate_that_is_far_too_high_names_a_layer_whose_weights_went(tmp_path, capsys):
    config = tiny(tmp_path, "a", lr=1e6, warmup_epochs=0.0, steps=40)
    assert "layer `" in failure(command_line(config), capsys)


def test_running_out_of_memory_says_which_choice_to_change(tmp_path, capsys, monkeypatch):
    class Greedy(nn.Module):
        def forward(self, x):
            return x.expand(10**7, *x.shape).contiguous()

    def network(num_classes):
        return nn.Sequential(nn.Conv2d(3, 8, 3), Greedy(), nn.Flatten(), nn.Linear(8, num_classes))

    monkeypatch.setitem(catalogue.OWN, "greedy", network)
    line = failure(command_line(tiny(tmp_path, "a", model="greedy", rank_scale=None)), capsys)
    assert "`micro_batch_size` must be small enough" in line and "--micro-batch-size 8" in line
    assert Run(tmp_path / "a").status["state"] == "failed"


def test_a_full_disk_is_one_line_and_the_run_goes_on_once_there_is_room(tmp_path, capsys):
    config, whole = tiny(tmp_path, "a"), tiny(tmp_path, "whole")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        line = failure(command_line(config), capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert "`runs` must be on a disk with room" in line and "--resume" in line
    assert [row["step"] for row in numbers(config)["steps"]] == [1, 2]
    assert not list((tmp_path / "a").glob("*.new"))
    run(config), run(whole)
    assert numbers(config) == numbers(whole)


@pytest.mark.parametrize("corrupt", ["skip", "fail"])
def test_a_broken_image_is_counted_and_named_or_ends_the_run_by_choice(tmp_path, capsys, corrupt):
    from training.runs import write_images

    broken = write_images(tmp_path / "images") / "train" / "dark" / "3.png"
    broken.write_bytes(b"no image")
    config = tiny(tmp_path, "a", corrupt=corrupt, num_images=54, batch_size=18, steps=3)
    if corrupt == "fail":
        line = failure(command_line(config), capsys)
        assert str(broken) in line and "`corrupt='skip'`" in line
        return
    assert main(command_line(config)) == 0
    reader = Run(tmp_path / "a").records
    assert reader.table("events")["file"].tolist() == [str(broken)]
    assert f"`{broken}` cannot be read" in capsys.readouterr().err


def test_the_command_line_of_a_run_means_that_run(tmp_path):
    config = tiny(tmp_path, "a", recipe="fnl", milestones=(0.3, 0.6), compile=True, clip_norm=0.1)
    assert parse("x", command_line(config)) == config


def test_the_stable_options_are_there():
    line = (
        "resnet50 --data synthetic --rank-scale 0.1 --initializer function --scheme spatial --decay frobenius"
        " --decay-strength 1e-4 --recipe nli --epochs 3 --batch-size 64 --lr 0.2 --seed 3 --runs r --name n"
        " --resume --device cpu --precision bf16"
    )
    config = parse("x", line.split())
    assert (config.epochs, config.steps, config.batch_size, config.seed) == (3, None, 64, 3)
    assert (config.schedule, config.lr, config.precision, config.resume) == ("cosine", 0.2, "bf16", True)
    assert parse("x", ["resnet20", "--plan", "plan.json", "--steps", "7"]).steps == 7


def test_the_command_lrexplore_train_is_the_same(tmp_path, capsys):
    assert cli.main(["train", "resnet21", "--runs", str(tmp_path)]) == 1
    assert "Nearest: resnet" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        cli.main(["sweep", "--help"])
    assert capsys.readouterr().out.startswith("usage: lrexplore sweep")
