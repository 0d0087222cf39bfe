"""Records of runs, damaged at random: each run is read, or says why not, and hides no other."""

import json
import os
import random
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lrexplore as lr
from lrexplore.bench.faults.verdict import Tally, Wrong, is_ours
from lrexplore.records import Run, Writer
from lrexplore.records.layout import STREAMS
from lrexplore.records.spectra import QUANTITIES
from lrexplore.records.table import read

_STEPS = 12
_OTHER = (
    *(None, True, -1, 0, 3, 10**12, 10**400, 1.5, float("nan"), float("inf"), "", "words", [], [0], {}, {"words": 1}),
    *("\ud800", "x" * 10_000, [[[]]], 2**63, -(2**63) - 1, [None, 1], 1e308, "\x00"),
)


def damaged_records(count: int, seed: int, first: int = 0) -> Tally:
    """What came of so many records, each damaged in one to three places."""
    tally = Tally("damaged records")
    with tempfile.TemporaryDirectory(prefix="lrexplore-faults-") as folder:
        whole = Path(folder, "whole")
        _write_run(whole)
        for number in range(first, first + count):
            runs = Path(folder, "runs")
            shutil.copytree(whole, runs / "sound")
            shutil.copytree(whole, runs / "damaged")
            draw = random.Random(f"{seed} {number}")
            said = [_damage(runs / "damaged", draw) for _ in range(draw.choice((1, 1, 2, 3)))]
            tally.attempt(number, lambda runs=runs: _look(runs), ", ".join(said))
            shutil.rmtree(runs)
    return tally


def _write_run(folder: Path) -> None:
    """A finished run with every file that a run has."""
    from lrexplore.recipes.published import configure
    from lrexplore.training.model import build_model
    from lrexplore.training.saved_state import save_checkpoint

    config = configure(model="resnet20", rank_scale=0.1, steps=_STEPS, name=folder.name, runs=str(folder.parent))
    model = build_model(config, 10)
    layers = ["layer1.0.conv1", "layer1.0.conv2"]
    about = {
        "name": folder.name, "config": config.as_dict(), "layers": layers, "spectra_layers": layers, "num_classes": 10,
    }  # fmt: skip
    with Writer(folder, {**about, "environment": {"num_processes": 1, "num_threads": 1}}) as writer:
        for step in range(1, _STEPS + 1):
            writer.append("steps", {"step": step, "epoch": 1, "wall_s": 0.1 * step, "loss": 1 / step, "lr": 0.1})
            writer.append("norms", {"step": step, "frobenius_norm": [1.0, 2.0]})
            writer.append("layers", {"step": step, "epoch": 1, "lr": 0.1, "nuclear_norm": [1.0 + step, 2.0]})
            spectra = {"num_values": [1, 2], "full_rank": [3, 3], "values": [1.0, 2.0, 1.0]}
            writer.append("spectra", {"step": step, "epoch": 1, **spectra, **dict.fromkeys(QUANTITIES, [0.5, 0.5])})
        writer.append("epochs", {"step": _STEPS, "epoch": 1, "held_out_top1": 50.0, "test_top1": 51.0})
        writer.append("events", {"step": 3, "event": "corrupt image", "file": "a.png"})
        save_checkpoint(folder, {"model": model.state_dict(), "step": _STEPS, "rows": writer.rows})
        writer.finish()
        writer.status("done", step=_STEPS, num_steps=_STEPS, loss=0.1)


def _damage(folder: Path, draw: random.Random) -> str:
    """Damages one file of a run; in words, what was done."""
    path = folder / draw.choice(sorted(entry.name for entry in folder.iterdir()))
    ways: list[Callable] = [_cut, _flip, _replace, _remove, _lines]
    if path.suffix == ".json":
        ways += 4 * [_value]
    elif path.suffix == ".jsonl":
        ways += 4 * [_lines]
    way = draw.choice(ways)
    if not path.is_file() or path.is_symlink():
        return "nothing"
    way(path, draw)
    return f"{way.__name__.strip('_')} {path.name}"


def _cut(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content) + 1)])


def _flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 3, 50))):
        if content:
            content[draw.randrange(len(content))] = draw.randrange(256)
    path.write_bytes(content)


def _replace(path: Path, draw: random.Random) -> None:
    path.unlink()
    kind = draw.randrange(6)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        os.mkfifo(path)
    elif kind == 2:
        path.symlink_to(path.name)
    elif kind == 3:
        path.symlink_to("/dev/zero")
    elif kind == 4:
        path.write_bytes(draw.randbytes(300))
    else:
        path.write_text(json.dumps(draw.choice(_OTHER)), encoding="utf-8")


def _remove(path: Path, draw: random.Random) -> None:
    path.unlink()


def _value(path: Path, draw: random.Random) -> None:
    try:
        owner = content = json.loads(path.read_bytes())
    except ValueError:
        return
    while isinstance(owner, dict) and owner:
        key = draw.choice(list(owner))
        if not isinstance(owner[key], dict) or draw.random() < 0.4:
            if draw.random() < 0.1:
                del owner[key]
            else:
                owner[key] = draw.choice(_OTHER)
            break
        owner = owner[key]
    path.write_text(json.dumps(content), encoding="utf-8")


def _lines(path: Path, draw: random.Random) -> None:
    """Lines of others among those of a stream, or rows with other values."""
    lines = path.read_bytes().splitlines()
    for _ in range(draw.choice((1, 2, 5))):
        keys = draw.choices(("step", "epoch", "loss", "resume", "nuclear_norm", "words"), k=3)
        row: Any = {key: draw.choice((*_OTHER, 1, 2, 1, 2)) for key in keys}
        text = json.dumps(draw.choice((row, row, row, draw.choice(_OTHER)))).encode()
        text = draw.choice((text, text, text, text + text, b"\xff" + text, b"[" * 100_000, text[:-1], b"", b"1e999"))
        lines.insert(draw.randrange(len(lines) + 1), text)
    path.write_bytes(b"\n".join(lines) + draw.choice((b"\n", b"")))


def _look(runs: Path) -> None:
    """Everything that reads records, on a sound run and a damaged one."""
    table = lr.runs(runs).set_index("run")
    if table["state"]["sound"] != "done" or table["loss"]["sound"] != 0.1:
        raise Wrong(f"the sound run is {table.loc['sound'].to_dict()}")
    if "damaged" in table.index and not isinstance(table["state"]["damaged"], str):
        raise Wrong("a state that is no word")
    for stream in STREAMS:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            rows = read(runs, stream)
        expected = {"epochs": 1, "events": 1, "steps": _STEPS, "spectra": _STEPS}.get(stream, 2 * _STEPS)
        if (rows["run"] == "sound").sum() != expected:
            raise Wrong(f"{(rows['run'] == 'sound').sum()} rows of {stream} of the sound run")
    _or_refused(lambda: lr.outcomes(runs))
    damaged = Run(runs / "damaged")
    if not isinstance(damaged.status["state"], str) or not repr(damaged):
        raise Wrong("a state that is no word")
    for stream in STREAMS:
        _or_refused(lambda stream=stream: damaged.records.table(stream))
        _or_refused(lambda stream=stream: (damaged.records.columns(stream), damaged.records.lists(stream)))
    _or_refused(damaged.spectra)
    _or_refused(lambda: lr.load(runs / "damaged"))
    _follow(runs)
    _or_refused(lambda: _go_on(runs / "damaged"))


def _follow(runs: Path) -> None:
    """The training tab's own eyes."""
    from lrexplore.explorer.training.runs import RunWatch

    watch = RunWatch(runs)
    watch.poll(watch.compared(list(watch.runs), "", ""))
    if watch.runs["sound"].state != "done":
        raise Wrong(f"the sound run is {watch.runs['sound'].status}")


def _go_on(folder: Path) -> None:
    """What a resumed run does first."""
    import torch

    from lrexplore.recipes.config import Config
    from lrexplore.records.schema import read_description
    from lrexplore.training.saved_state import load_checkpoint

    if not (folder / "run.json").exists():  # then there is no run of this name yet, and one begins
        return
    Config.of_record(read_description(folder)["config"])
    load_checkpoint(folder, torch.device("cpu"))
    with Writer(folder, {}) as writer:
        writer.resume({})


def _or_refused(call: Callable[[], Any]) -> None:
    """Lets one of our errors pass, for the next reader is to be looked at too."""
    try:
        call()
    except Exception as error:
        if not is_ours(error):
            raise
