"""Command lines that make no sense: an exit status and one line for each, and never a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lrexplore.bench.faults.command_lines import check

ROOT = Path(__file__).parents[2]
BAD = """
train nothing
train resnet20 --data no/such
train resnet20 --data broken.txt
train resnet20 --data pipe:false
train resnet20 --data http://localhost:1/shards.json
train resnet20 --steps 0
train resnet20 --steps x
train resnet20 --rank-scale 2
train resnet20 --rank-scale nan
train resnet20 --rank-scale 0.1 --plan broken.txt
train resnet20 --plan broken.txt
train resnet20 --plan .
train resnet20 --name ../x
train resnet20 --milestones 2
train resnet20 --lr 1e400
train resnet20 --seed 99999999999999999999
train resnet20 --norms-from .
train resnet20 --decay normalized
train no_module:build
train json:loads
train resnet20 --initializer no_module:make --rank-scale 0.1
train resnet20 --data images --batch-size 999 --device cpu
train resnet20 --data images --device cuda
train resnet20 --runs broken.txt/x --data images --steps 1 --batch-size 2
train resnet20 --recipe nothing
train
train --model resnet20
sweep resnet20 --jobs 0
sweep resnet20 --seed a,b
sweep nothing --seed 0,1
allocate resnet20
allocate resnet20 --parameter-ratio 0
allocate resnet20 --parameter-ratio nan
allocate resnet20 --parameter-ratio 0.000001 --images none
allocate resnet20 --parameter-ratio 0.5 --flop-ratio 0.5
allocate resnet20 --parameter-ratio 0.5 --images no/such
allocate resnet20 --parameter-ratio 0.5 --images broken
allocate resnet20 --parameter-ratio 0.5 --num-images 0
allocate resnet20 --parameter-ratio 0.5 --images none --pin fc=²
allocate resnet20 --parameter-ratio 0.5 --images none --pin nothing=3
allocate resnet20 --parameter-ratio 0.5 --images none --pin fc=9999
allocate resnet20 --parameter-ratio 0.5 --images none --rank-multiple 0
allocate resnet20 --parameter-ratio 0.5 --images none --out no/such/plan.json
allocate resnet20 --parameter-ratio 0.5 --images none --out .
allocate broken.txt --parameter-ratio 0.5
allocate broken.pt --parameter-ratio 0.5
allocate no/such.pt --parameter-ratio 0.5
allocate resnet20 --weights broken.pt --parameter-ratio 0.5
allocate resnet20 --initializer nothing --parameter-ratio 0.5 --images none
factorize resnet20
factorize resnet20 --plan broken.txt --images none
factorize resnet20 --plan no/such --images none
factorize resnet20 --rank-scale 7 --images none
factorize resnet20 --rank-scale 0.2 --images none --export net.exe
factorize resnet20 --rank-scale 0.2 --images none --initializer whitened
bench nothing
bench records --steps x
bench records --json
bench faults nothing
bench faults --calls -1
doctor --fast
nothing
--nothing
""".strip().splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd")
    (path / "broken.txt").write_text("words")
    (path / "broken.pt").write_bytes(b"PK\x03\x04 no")
    (path / "broken").mkdir()
    (path / "broken" / "0.png").write_bytes(b"no image")
    for split in ("train", "val"):
        for label in ("a", "b"):
            (path / "images" / split / label).mkdir(parents=True)
            Image.new("RGB", (9, 9)).save(path / "images" / split / label / "0.png")
    return path


@pytest.mark.parametrize("line", BAD)
def test_a_line_that_makes_no_sense_ends_with_a_status_and_one_line(line, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert check(line.split()) in (1, 2)


NETWORK = """
import torch


class Broken(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.nothing(x)


def build():
    return Broken()
"""


def test_an_error_of_ones_own_network_is_one_line_with_its_place(folder, monkeypatch, capfd):
    (folder / "own_broken.py").write_text(NETWORK)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    line = "train own_broken:build --data images --steps 1 --device cpu --workers 0 --batch-size 2 --held-out 0"
    from lrexplore.cli import main

    assert main([*line.split(), "--image-size", "8"]) == 1
    [said] = [text for text in capfd.readouterr().err.splitlines() if "lrexplore" in text]
    assert "`own_broken:build` must train without errors, got AttributeError" in said
    assert "own_broken.py, line 11)" in said


def test_two_interrupts_of_a_command_that_starts_are_one_line():
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", STARTING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (130, "lrexplore: stopped\n")


STARTING = """
import sys, time
from lrexplore import doctor
from lrexplore.cli import main

def wait(as_json):
    print("begun")
    time.sleep(60)

doctor.main = wait
sys.exit(main(["doctor"]))
"""
