"""Disks that get full at random places in a file, for everything that writes one: the earlier file stays as it was."""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

import lrexplore as lr
from lrexplore.bench.faults.verdict import Tally, Wrong, is_ours
from lrexplore.disk.whole_file import write_whole
from lrexplore.ranks.cache import keep, recall
from lrexplore.records import Reader, Writer
from lrexplore.records.layout import write_json
from lrexplore.training.saved_state import save_checkpoint


@contextmanager
def full_at(num_bytes: int) -> Iterator[None]:
    """In it no file may grow past so many bytes: a write beyond that fails as on a full disk, with another number."""
    import resource  # which Windows lacks

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).eval()


def _page(path: Path) -> None:
    from lrexplore.explorer.panel.export import to_html

    to_html({"frame": {"board": True}, "layer": "", "rank": 1, "table": {}}, path, "title")


_WRITERS: dict[str, Callable[[Path], Any]] = {
    "network.safetensors": lambda path: lr.save(_net(), path),
    "program.pt2": lambda path: lr.export(_net(), path, torch.zeros(2, 64)),
    "inputs.safetensors": lambda path: lr.calibrate(_net(), [torch.ones(2, 64)]).save(path),
    "plan.json": lambda path: lr.allocate(_net(), parameter_ratio=0.9, use_cache=False).save(path),
    "page.html": _page,
    "status.json": lambda path: write_json(path, {"words": "x" * 9000}),
    "checkpoint.pt": lambda path: save_checkpoint(path.parent, {"weights": torch.zeros(9000)}),
    "text.txt": lambda path: write_whole(path, "x" * 9000),
}


def full_disk(count: int, seed: int, first: int = 0) -> Tally:
    """What came of so many writes; each writer has its turn."""
    tally = Tally("full disks")
    tries = [*((name, _whole) for name in _WRITERS), ("records", _records), ("cache", _cache)]
    for number in range(first, first + count):
        draw = random.Random(f"{seed} {number}")
        name, look = tries[number % len(tries)]
        with tempfile.TemporaryDirectory(prefix="lrexplore-faults-") as folder:
            tally.attempt(number, lambda name=name, look=look, at=Path(folder), draw=draw: look(name, at, draw), name)
    return tally


def _whole(name: str, folder: Path, draw: random.Random) -> None:
    path = folder / name
    _WRITERS[name](path)
    size, before = path.stat().st_size, draw.choice((None, b"earlier"))
    path.unlink()
    if before is not None:
        path.write_bytes(before)
    try:
        with full_at(draw.randrange(size)):
            _WRITERS[name](path)
    except OSError as error:
        if not is_ours(error):
            raise
    else:
        raise Wrong("no error on a full disk")
    there = {entry.name: entry.read_bytes() for entry in folder.iterdir()}
    if there != ({} if before is None else {name: before}):
        raise Wrong(f"there is {sorted(there)} afterwards")


def _records(name: str, folder: Path, draw: random.Random) -> None:
    """Whole lines stay, and the run goes on once there is room."""
    row, written = {"step": 1, "epoch": 1, "loss": 0.5}, 0
    with Writer(folder / "run", {"config": {}, "layers": []}) as writer:
        try:
            with full_at(draw.randrange(10, 900)):
                while written < 200:
                    writer.append("steps", row)
                    written += 1
        except OSError as error:
            if error.errno is None or "File too large" not in str(error):
                raise
    with Writer(folder / "run", {}) as writer:
        writer.append("steps", row)
        writer.finish()
    reader = Reader(folder / "run")
    if reader.poll()["steps"] != written + 1:
        raise Wrong(f"{reader.poll()} rows of {written + 1}")


def _cache(name: str, folder: Path, draw: random.Random) -> None:
    """A cache that cannot be written only costs time."""
    before = os.environ.get("LREXPLORE_CACHE")
    os.environ["LREXPLORE_CACHE"] = str(folder)
    try:
        with full_at(draw.randrange(4000)):
            keep("key", {"errors": torch.zeros(500, dtype=torch.float64).numpy()})
        if recall("key") is not None or list((folder / "curves").iterdir()):
            raise Wrong("something was kept")
    finally:
        os.environ.pop("LREXPLORE_CACHE")
        if before is not None:
            os.environ["LREXPLORE_CACHE"] = before
