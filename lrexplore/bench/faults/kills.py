"""A run that is killed at random moments, and goes on, ends with the bits of one that nobody killed."""

import io
import multiprocessing
import os
import random
import signal
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import TensorDataset

from lrexplore.bench.faults.verdict import Tally, Wrong
from lrexplore.recipes.config import Config
from lrexplore.recipes.published import configure
from lrexplore.records import Reader

_CLOCK = ("wall_s", "images_per_s", "tokens_per_s")
_STEPS = 40


def images() -> tuple[TensorDataset, ...]:
    """Images to train on, to choose by and to test."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        TensorDataset(torch.randn(count, 3, 16, 16, generator=generator), torch.arange(count) % 2)
        for count in (48, 8, 8)
    )


def kills(count: int, seed: int, first: int = 0) -> Tally:
    """What came of so many kills: each run is killed until it is done, then the next begins."""
    tally, draw = Tally("kills"), random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lrexplore.training.run", "lrexplore.models.architectures"])
    with tempfile.TemporaryDirectory(prefix="lrexplore-faults-") as folder:
        whole = _config(folder, "whole")
        _start(context, whole).join()
        killed = ran = 0
        while killed < count or ran == 0:
            config, of_this = _config(folder, f"killed-{ran}"), 0
            while True:
                process = _start(context, config)
                if killed < count:
                    process.join(draw.uniform(0.0, 1.5))
                    if process.exitcode is None:
                        os.kill(process.pid, signal.SIGKILL)
                        killed, of_this = killed + 1, of_this + 1
                process.join()
                if process.exitcode == 0:
                    break
                if process.exitcode != -signal.SIGKILL:
                    raise Wrong(f"a run that went on ended with status {process.exitcode}")
            ran += 1
            said = _difference(config, whole)
            if said:
                tally.faults.append((killed, f"after {of_this} kills: {said}"))
            else:
                tally.right += of_this
    return tally


def _config(folder: str, name: str) -> Config:
    return configure(
        model="resnet20", data=f"{__name__}:images", batch_size=16, rank_scale=0.2, initializer="spectral",
        steps=_STEPS, checkpoint_steps=2, decay_strength=0.01, norms_steps=1, workers=0, device="cpu",
        runs=folder, name=name, resume=True,
    )  # fmt: skip


def _start(context: Any, config: Config) -> Any:
    process = context.Process(target=_train, args=(config,))
    process.start()
    return process


def _train(config: Config) -> None:
    from lrexplore.training.run import run

    torch.set_num_threads(1)
    with redirect_stdout(io.StringIO()):
        run(config)


def _difference(config: Config, whole: Config) -> str:
    """The first thing in which two runs differ; nothing where every record and every weight has the same bits."""
    folders = [Path(one.runs, one.name or "") for one in (config, whole)]
    for stream in ("steps", "epochs", "layers"):
        tables = []
        for folder in folders:
            reader = Reader(folder)
            reader.poll()
            tables.append(reader.table(stream).drop(columns=list(_CLOCK), errors="ignore"))
        if not tables[0].equals(tables[1]):
            return f"other {stream}"
    left = [entry.name for entry in folders[0].iterdir() if entry.suffix in (".new", ".part")]
    if left:
        return f"{left[0]} is left"
    mine, theirs = (torch.load(folder / "checkpoint.pt", weights_only=True)["model"] for folder in folders)
    return next((f"other bits in {key}" for key in theirs if not mine[key].equal(theirs[key])), "")
