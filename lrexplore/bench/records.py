"""`lrexplore bench records`: what following a live run of 100,000 logged steps costs the kernel."""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lrexplore.bench.explorer import Measure
from lrexplore.disk.whole_file import write_whole
from lrexplore.records import Reader, Writer

LAYERS = [f"layer{stage}.{block}.conv{number}" for stage in (1, 2, 3) for block in (0, 1, 2) for number in (1, 2)]
NEW_STEPS = 200
BAR_MS = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """0 once everything is measured and printed, whatever the numbers are."""
    parser = argparse.ArgumentParser("lrexplore bench records", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="steps logged before the measurement (100,000)")
    parser.add_argument("--rounds", type=int, default=20, help="updates a measurement (20)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    options = parser.parse_args(arguments)
    before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="lrexplore-bench-") as folder:
        measures = measure(Path(folder), options.steps, options.rounds)
    print(f"{os.cpu_count()} CPU cores, {platform.machine()}; load average {before[0]:.2f} before, "
          f"{os.getloadavg()[0]:.2f} after; what else runs counts in")  # fmt: skip
    print(f"a run of {options.steps:,} steps, {NEW_STEPS} new ones an update\n")
    print(f"{'':<58}{'measured':>12} {'':<9}{'bar':>12}")
    for item in measures:
        print(item.line)
    if options.json:
        report = {"load_before": before, "load_after": os.getloadavg(), "measures": [asdict(item) for item in measures]}
        write_whole(options.json, json.dumps(report, indent=2), name="--json")
    return 0


def measure(folder: Path, num_steps: int, num_rounds: int) -> list[Measure]:
    """Median and largest time of an update of the training tab, for one live run and for three seeds of it."""
    writers = [_recorded(folder / f"seed{seed}", seed, num_steps) for seed in range(3)]
    measures = [_reading(folder, num_steps)]
    try:
        for checked, words in ((["seed0"], "one live run"), (["seed0", "seed1", "seed2"], "mean of 3 live seeds")):
            for log_x in (False, True):
                name = f"update, {words}{', log x' if log_x else ''}"
                times = _updates(folder, writers, checked, log_x, num_steps, num_rounds)
                measures.append(Measure(f"{name}, median", 1000 * float(np.median(times)), "ms", BAR_MS))
                measures.append(Measure(f"{name}, largest", 1000 * max(times), "ms", BAR_MS))
                num_steps += num_rounds * NEW_STEPS
    finally:
        for writer in writers:
            writer.close()
    return measures


def _updates(folder: Path, writers, checked: list[str], log_x: bool, num_steps: int, num_rounds: int) -> list[float]:
    from lrexplore.explorer.training.tab import TrainingTab

    tab = TrainingTab(folder)
    tab.show(False)
    tab.state.checked, tab.state.log_x = checked, log_x
    times = []
    for number in range(num_rounds):
        first = num_steps + number * NEW_STEPS
        for seed, writer in enumerate(writers):
            _append(writer, seed, first, first + NEW_STEPS)
        started = time.perf_counter()
        if not tab.poll():
            raise RuntimeError("`poll` must see the new steps, got none.")
        times.append(time.perf_counter() - started)
    if tab.panel.error:
        raise RuntimeError(f"`panel.error` must stay empty, got: {tab.panel.error}")
    tab.close()
    return times


def _reading(folder: Path, num_steps: int) -> Measure:
    started = time.perf_counter()
    Reader(folder / "seed0").poll()
    return Measure(f"reading {num_steps:,} steps for the first time", 1000 * (time.perf_counter() - started), "ms")


def _recorded(folder: Path, seed: int, num_steps: int) -> Writer:
    config = {"model": "resnet20", "data": "fashion-mnist", "rank_scale": 0.1, "initializer": "function", "seed": seed}
    writer = Writer(folder, {"name": folder.name, "config": config, "layers": LAYERS})
    _append(writer, seed, 0, num_steps)
    writer.status("running", step=num_steps, num_steps=2 * num_steps)
    return writer


def _append(writer: Writer, seed: int, first: int, last: int) -> None:
    """Rows of steps, and at every 100th what is measured of the layers."""
    for step in range(first + 1, last + 1):
        row = {"step": step, "epoch": 1 + step // 400, "wall_s": step / 4, "loss": 2 / step**0.5 + seed / 100}
        writer.append("steps", {**row, "top1": 50.0, "top5": 90.0, "lr": 0.1, "images_per_s": 512.0})
        if step % 100 == 0:
            norms = {name: [1.0 + step / 1e5] * len(LAYERS) for name in ("frobenius_norm", "nuclear_norm")}
            more = {name: [0.1] * len(LAYERS) for name in ("factor_bound", "non_orthogonality", "effective_lr")}
            writer.append("layers", {"step": step, "epoch": row["epoch"], "lr": 0.1, **norms, **more})
