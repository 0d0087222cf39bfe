"""What a run's folder holds, and how its small files are written.

    run.json        version, name, configuration, environment, names of the layers, rank plan; written once
    status.json     state, process, latest metrics; replaced whole, touched every few seconds by a live run
    steps.jsonl     one line a step: step, epoch, wall_s, loss, top1, top5, lr, images_per_s
    epochs.jsonl    one line an epoch: metrics of the held-out images; the last one those of the test images
    layers.jsonl    one line a measurement: lists with one number a layer (names in run.json)
    norms.jsonl     Frobenius norms of the factorized layers after every step, where they were asked for
    events.jsonl    what happened besides: a resume, a corrupt image
    *.parquet       the same tables, written when the run ends
    checkpoint.pt   where a killed run goes on
    log.txt         what a run that was started in the background printed

A line `{"resume": n}` in a stream says that a killed run goes on from its checkpoint, which knew n rows of this
stream: rows after the first n before that line are void (the same steps follow again).
"""

import json
import math
from pathlib import Path

from lrexplore.disk.whole_file import write_whole

VERSION = 1
STREAMS = ("steps", "epochs", "layers", "norms", "events")


def read_json(path: Path) -> dict:
    """The object in a small file; FileNotFoundError, or ValueError for a file that is no JSON object."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"`{path.name}` must be a JSON object, got text that is none ({error}) in {path.parent}."
            " Remove the folder or restore the file."
        ) from error
    return content


def write_json(path: Path, content: dict) -> None:
    """Replaces a small file whole: a reader sees the old one or the new one."""
    write_whole(path, json.dumps(content, indent=1), durable=False)


def finite(value):
    """The value, with None in the place of every NaN and infinity (JSON has no word for them)."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value


def check_version(run: dict, folder: Path) -> None:
    """Raises ValueError where the run was written by a later version of lrexplore."""
    version = run.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise ValueError(
            f"`{folder}` must hold records of version {VERSION} or older, got version {version}."
            " Update lrexplore to read them."
        )
