import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from training.runs import numbers, run_as, tiny, weights

from lrexplore.recipes.arguments import command_line
from lrexplore.records import Reader, Run
from lrexplore.training.run import run

ROOT = Path(__file__).parents[2]
CHOICES = {
    "sgd": {"optimizer": "sgd", "lr": 0.05},
    "adamw": {"optimizer": "adamw", "lr": 1e-3, "clip_norm": 1.0},
}


def torchrun(config):
    """The command that a person types."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    done = subprocess.run(
        [*command, "-m", "lrexplore.training", *command_line(config)],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def two_processes(config):
    """The same without torchrun's own start, which takes longer than the run."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lrexplore.training.run"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    processes = [context.Process(target=run_as, args=(index, 2, port, config)) for index in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]


@pytest.mark.parametrize(("optimizer", "start"), [("sgd", torchrun), ("adamw", two_processes)])
def test_two_processes_give_the_losses_and_weights_of_one_after_twenty_steps(tmp_path, optimizer, start):
    one, two = (tiny(tmp_path, name, steps=20, micro_batch_size=8, **CHOICES[optimizer]) for name in ("one", "two"))
    run(one), start(two)
    for mine, theirs in zip(numbers(one)["steps"], numbers(two)["steps"], strict=True):
        assert mine.keys() == theirs.keys()
        assert abs(mine["loss"] - theirs["loss"]) <= 1e-6
        assert (mine["top1"], mine["step"], mine["lr"]) == (theirs["top1"], theirs["step"], theirs["lr"])
    trained = [key for key in weights(one) if "running" not in key and "batches" not in key]
    for key in trained:
        assert (weights(one)[key] - weights(two)[key]).abs().max() <= 1e-6


def test_two_processes_change_ranks_as_one_does_through_a_switch_and_cuts(tmp_path):
    choices = {
        "rank_change": "cuttlefish", "rank_scale": None, "scheme": "spatial", "rank_warmup": 0.3, "lr": 0.3,
        "rank_tolerance": 0.1, "rank_change_steps": 4, "steps": 12, "micro_batch_size": 8,
    }  # fmt: skip
    one, two = (tiny(tmp_path, name, **choices) for name in ("one", "two"))
    run(one), two_processes(two)
    changes = Run(tmp_path / "one").rank_changes()
    assert changes["old_rank"].isna().any() and changes["old_rank"].notna().any()  # a switch, and cuts
    assert Run(tmp_path / "two").rank_changes().equals(changes)
    for mine, theirs in zip(numbers(one)["steps"], numbers(two)["steps"], strict=True):
        assert abs(mine["loss"] - theirs["loss"]) <= 1e-6
    for key, mine in weights(one).items():
        if "running" not in key and "batches" not in key:
            assert (mine - weights(two)[key]).abs().max() <= 1e-6


def test_a_process_that_is_killed_gets_a_sentence_from_those_that_are_left(tmp_path):
    config = tiny(tmp_path, "a", steps=100_000, micro_batch_size=8)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lrexplore.training.run"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    processes = [context.Process(target=run_as, args=(index, 2, port, config)) for index in range(2)]
    for process in processes:
        process.start()
    reader = Reader(tmp_path / "a")
    while len(reader.columns("steps").get("step", ())) < 3:
        reader.poll()
        processes[0].join(0.05)
    processes[1].kill()
    processes[0].join(120)
    status = Run(tmp_path / "a").status
    assert status["state"] == "failed"
    assert status["message"].startswith("`processes` must all live until the end of the run, got one of 2 that ended")
