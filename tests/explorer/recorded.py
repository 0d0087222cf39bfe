"""Made-up runs on disk, as a training would have recorded them."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil

from lrexplore.records import Writer

CONFIG = {
    "model": "resnet20", "data": "fashion-mnist", "rank_scale": 0.1, "rank_ratio": None, "plan": None,
    "initializer": "function", "scheme": "channel", "decay": "frobenius", "decay_strength": 1e-3, "lr": 0.1,
    "epochs": 2.0, "steps": None, "batch_size": 128, "seed": 0, "milestones": [0.5, 0.75], "compile": False,
}  # fmt: skip
LAYERS = ["layer1.0.conv1", "layer2.0.conv1"]


def record(folder: Path, *, state: str = "done", num_steps: int = 20, finish: bool = False, **choices) -> Path:
    """A run of `num_steps` steps in two epochs, its numbers made from its seed; without `finish` as JSON lines only."""
    config = {**CONFIG, **choices, "name": folder.name, "runs": str(folder.parent)}
    with Writer(folder, {"name": folder.name, "config": config, "layers": LAYERS}) as writer:
        append_steps(writer, range(1, num_steps + 1), config["seed"], num_steps)
        for epoch in (1, 2):
            held_out = {"held_out_loss": 1 / epoch, "held_out_top1": 70.0 + 5 * epoch + config["seed"]}
            row = {"step": epoch * num_steps // 2, "epoch": epoch, "wall_s": epoch * num_steps / 4}
            writer.append("epochs", {**row, **held_out})
        writer.append("epochs", {"step": num_steps, "epoch": 2, "test_loss": 0.6, "test_top1": 79.5})
        held_out = {"held_out_top1": 80.0 + config["seed"], "test_top1": 79.5} if state == "done" else {}
        writer.status(state, step=num_steps, num_steps=num_steps, epoch=2, loss=0.5, **held_out)
        if finish:
            writer.finish()
    return folder


def append_steps(writer: Writer, steps, seed: int = 0, num_steps: int = 20) -> None:
    """Rows of steps and, at every fifth, of both layers."""
    for step in steps:
        loss = 2 / step + 0.01 * np.sin(step + seed) + 0.1 * seed
        row = {"step": step, "epoch": 1 + (step > num_steps // 2), "wall_s": step / 2, "loss": float(loss)}
        writer.append("steps", {**row, "top1": 50.0 + step, "lr": 0.1, "images_per_s": 250.0})
        if step % 5 == 0:
            norms = {name: [step + 1.0, step + 2.0] for name in ("frobenius_norm", "nuclear_norm", "factor_bound")}
            more = {"non_orthogonality": [0.1, 0.2], "effective_lr": [0.1 / (step + 1), 0.1 / (step + 2)]}
            writer.append("layers", {"step": step, "epoch": row["epoch"], "lr": 0.1, **norms, **more})


def pretend_running(folder: Path, pid: int) -> None:
    """Makes a run look like one that a process of this machine is writing."""
    path = folder / "status.json"
    status = json.loads(path.read_text())
    process = {"pid": pid, "process_started": _started(pid), "host": socket.gethostname()}
    path.write_text(json.dumps({**status, "state": "running", **process}))


def _started(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def dead_process() -> int:
    """The id of a process that has just ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid
