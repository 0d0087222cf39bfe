"""Command lines that make no sense: an exit status, and one line that says why; never a traceback."""

import io
import json
import os
import random
import signal
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import torch
from PIL import Image

import lrexplore as lr
from lrexplore.bench.faults.verdict import Tally, Wrong

_WORDS = (
    *("", "x", "-1", "0", "nan", "inf", "1e400", "0.5", "9" * 30, "²", "None", "a=b", "fc=64", "=", "--", "-", "\n"),
    *(
        "no/such/file",
        ".",
        "/",
        "broken.pt",
        "net.safetensors",
        "plan.json",
        "images",
        "none",
    ),
    *("broken", "resnet20", "resnet19", "no_module:none", "os:system", "json:loads", "pipe:true", "pipe:false", "a,b"),
    *(
        "http://localhost:1/x",
        "file:///x",
        "synthetic",
        "fashion-mnist",
        "é" * 300,
        "~nobody/x",
        "whitened",
        "spectral",
    ),
)
_COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "train": (("resnet20", "--data", "images", "--steps", "1", "--device", "cpu", "--workers", "0"),
              ("--data", "--steps", "--epochs", "--rank-scale", "--rank-ratio", "--plan", "--initializer", "--scheme",
               "--batch-size", "--micro-batch-size", "--lr", "--momentum", "--runs", "--name", "--norms-from", "--seed",
               "--image-size", "--num-images", "--held-out", "--device", "--precision", "--recipe", "--milestones",
               "--decay", "--ema", "--clip-norm", "--corrupt", "--model", "--tensorboard")),
    "sweep": (("resnet20", "--data", "images", "--steps", "1", "--device", "cpu"),
              ("--seed", "--rank-scale", "--jobs", "--cluster", "--lr", "--initializer", "--data", "--decay",
               "--runs")),
    "allocate": (("net.pt", "--images", "images", "--parameter-ratio", "0.7", "--num-images", "4"),
                 ("--parameter-ratio", "--flop-ratio", "--latency-ratio", "--method", "--scheme", "--rank-multiple",
                  "--pin", "--out", "--weights", "--images", "--num-images", "--initializer")),
    "factorize": (("net.pt", "--images", "images", "--rank-scale", "0.3", "--num-images", "4"),
                  ("--plan", "--rank-scale", "--rank-multiple", "--out", "--export", "--weights", "--images",
                   "--num-images", "--initializer", "--groups")),
    "compare": (("net.pt", "net.safetensors", "--images", "images", "--num-images", "4"),
                ("--weights", "--images", "--num-images", "--groups", "--part", "--seed")),
    "bench records": (("--steps", "10", "--rounds", "1"), ("--steps", "--rounds", "--json")),
    "bench faults": (("calls", "--calls", "1"), ("--calls", "--seed", "--first", "--json", "--files", "what")),
    "bench nothing": ((), ()),
    "doctor": ((), ("--json", "--fast")),
    "": (("--version",), ("--version", "--help", "train", "--x")),
}  # fmt: skip


def command_lines(count: int, seed: int, first: int = 0) -> Tally:
    """What came of so many command lines, each run in this process in a folder with odd files."""
    tally = Tally("command lines", limit_s=120.0)  # some make sense, and do their work
    with tempfile.TemporaryDirectory(prefix="lrexplore-faults-") as folder:
        _write_files(Path(folder))
        with chdir(folder):
            for number in range(first, first + count):
                arguments = _drawn(random.Random(f"{seed} {number}"))
                tally.attempt(number, lambda arguments=arguments: check(arguments), " ".join(arguments)[:200])
    return tally


def _write_files(folder: Path) -> None:
    net = lr.load_model("resnet20")
    torch.save(net.state_dict(), folder / "net.pt")
    lr.save(lr.factorize(net, rank_scale=0.2, initializer="spectral"), folder / "net.safetensors")
    (folder / "broken.pt").write_bytes(b"PK\x03\x04 no")
    (folder / "plan.json").write_text(json.dumps({"format": "x"}))
    for split in ("train", "val"):
        for label in ("a", "b"):
            (folder / "images" / split / label).mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (9, 9), (number, 9, 9)).save(folder / "images" / split / label / f"{number}.png")
    (folder / "broken").mkdir()
    (folder / "broken" / "0.png").write_bytes(b"no image")


def _drawn(draw: random.Random) -> list[str]:
    command = draw.choice([*(2 * list(_COMMANDS)[:4]), *_COMMANDS])
    usual, options = _COMMANDS[command]
    arguments = list(usual)
    for _ in range(draw.choice((1, 1, 2, 3))):
        kind, word = draw.randrange(4), draw.choice(_WORDS)
        if kind == 0 and arguments:
            arguments[draw.randrange(len(arguments))] = word
        elif kind == 1 and arguments:
            del arguments[draw.randrange(len(arguments))]
        elif options:
            arguments += [draw.choice(options), word]
    return [*command.split(), *arguments]


def check(arguments: list[str]) -> int:
    """The exit status of a command line. Raises `Wrong` unless it ends well, or with one line that says why."""
    from lrexplore.cli import main

    said, printed, status = io.StringIO(), io.StringIO(), None
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    threads, mode = torch.get_num_threads(), dict(os.environ)
    try:
        with redirect_stderr(said), redirect_stdout(printed):
            status = main(arguments)
    except SystemExit as end:
        status = end.code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        torch.set_num_threads(threads)
        os.environ.update(mode)
    lines = [line for line in said.getvalue().splitlines() if "\r" not in line]
    if "Traceback" in said.getvalue():
        raise Wrong(f"a traceback: {lines[-1]}")
    if status not in (0, 1, 2, 130):
        raise Wrong(f"status {status}")
    errors = [line for line in lines if line.startswith("lrexplore")]
    if status == 1 and (len(errors) != 1 or lines[-1] != errors[0] or "`" not in errors[0]):
        if (
            not (arguments[:1] == ["sweep"] and not errors)
            and arguments[0] != "doctor"
            and arguments[:2] != ["bench", "faults"]
        ):
            raise Wrong(f"status 1, and said: {lines}")
    if status == 2 and not (errors and lines[-1] == errors[-1] and ": error: " in errors[-1]):
        raise Wrong(f"status 2, and said: {lines}")
    return status
