"""Runs that are asked to end, in whatever they are doing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from training.runs import tiny

from lrexplore.recipes.arguments import command_line
from lrexplore.records import Run
from lrexplore.records.schema import read_status

ROOT = Path(__file__).parents[2]
MODULE = """
import os, time, torch
from torch import nn
from torch.utils.data import Dataset


def say(where):
    os.write(1, (where + "\\n").encode())  # at once: two workers write to one pipe


def build(num_classes):
    if WHERE == "build":
        say(WHERE); time.sleep(3600)
    return nn.Sequential(Slow(), nn.Flatten(), nn.Linear(48, num_classes))


class Slow(nn.Module):
    def forward(self, x):
        if WHERE == "step" and self.training and x.device.type != "meta" and len(x) == 16:
            say(WHERE); time.sleep(3600)
        return x


class Images(Dataset):
    classes = "ab"

    def __init__(self, where, count=32):
        self.where, self.count = where, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if WHERE == self.where:
            say(WHERE); time.sleep(3600)
        return torch.zeros(3, 4, 4), index % 2


def images():
    if WHERE == "data":
        say(WHERE); time.sleep(3600)
    return Images("first batch"), Images("evaluation", 8), Images("test", 8)
"""


def begun(tmp_path, where, workers=0):
    """A run as a process of its own that waits for an hour somewhere, and says so first."""
    (tmp_path / "own_waiting.py").write_text(f"WHERE = {where!r}\n{MODULE}")
    choices = {"model": "own_waiting:build", "data": "own_waiting:images", "num_images": None, "rank_scale": None}
    config = tiny(tmp_path, "a", **{**choices, "steps": 4, "workers": workers})
    process = subprocess.Popen(
        [sys.executable, "-m", "lrexplore.training", *command_line(config)],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    for line in process.stdout:
        if line.strip() == where:
            return process
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize(
    ("where", "workers"),
    [("data", 0), ("build", 0), ("first batch", 0), ("first batch", 2), ("step", 0), ("evaluation", 2), ("test", 0)],
)
def test_a_run_ends_within_five_seconds_whatever_it_is_doing(tmp_path, where, workers):
    process = begun(tmp_path, where, workers)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert time.monotonic() - asked < 5
    lines = process.stderr.read().splitlines()
    assert len(lines) == 1 and lines[0].startswith("lrexplore train: stopped")
    if where not in ("data", "build"):
        assert read_status(tmp_path / "a")["state"] == "stopped"
    if where in ("first batch", "evaluation", "test"):
        assert torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)["step"] == {
            "first batch": 0, "evaluation": 2, "test": 4,
        }[where]  # fmt: skip


def test_two_quick_interrupts_are_a_stop_and_one_line(tmp_path):
    process = begun(tmp_path, "step")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert Run(tmp_path / "a").status["state"] == "stopped"
    assert len(process.stderr.read().splitlines()) == 1


FORKED = """
import os, signal, sys, time
from lrexplore.training.stop import StopSignal

stop = StopSignal().listen()
begun, begins = os.pipe()
with stop.waiting():
    child = os.fork()
    if not child:
        os.write(begins, b"x")
        time.sleep(60)  # as a reading process that has not yet set its own ways
        os._exit(0)
    os.read(begun, 1)
    os.kill(child, signal.{name})
    time.sleep(1)
    ended, status = os.waitpid(child, os.WNOHANG)
    print("ended" if ended else "runs on", flush=True)
    os.kill(child, signal.SIGKILL) if not ended else None
import select
assert not select.select([stop._heard], [], [], 0)[0] and not stop.received
stop.close()
"""


@pytest.mark.parametrize(("name", "becomes"), [("SIGTERM", "ended"), ("SIGINT", "runs on")])
def test_a_signal_to_a_reading_process_just_begun_says_nothing(name, becomes):
    done = subprocess.run(
        [sys.executable, "-c", FORKED.replace("{name}", name)],
        capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, becomes, "")
