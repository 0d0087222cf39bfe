"""What a run's folder holds, and how its small files are written.

    run.json        version, name, configuration, environment, names of the layers, rank plan; written once
    status.json     state, process, latest metrics; replaced whole, touched every few seconds by a live run
    steps.jsonl     one line a step: step, epoch, wall_s, loss, top1, top5, lr, images_per_s or tokens_per_s
    epochs.jsonl    one line an epoch: metrics of the held-out images or texts (of translations held_out_bleu too); the
                    last one those of the test part
    layers.jsonl    one line a measurement: lists with one number a layer (names in run.json)
    spectra.jsonl   one line a recorded moment: singular values, ranks and errors of cuts of every layer (spectra.py)
    norms.jsonl     Frobenius norms of the factorized layers after every step, where they were asked for
    events.jsonl    what happened besides: a resume, a corrupt image
    *.parquet       the same tables, written when the run ends
    subwords.json   the vocabulary of a run on text
    checkpoint.pt   where a killed run goes on
    log.txt         what a run that was started in the background printed

A line `{"resume": n}` in a stream says that a killed run goes on from its checkpoint, which knew n rows of this
stream: rows after the first n before that line are void (the same steps follow again).
"""

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from lrexplore.disk.paths import printable
from lrexplore.disk.whole_file import write_whole

VERSION = 1
STREAMS = ("steps", "epochs", "layers", "norms", "spectra", "events")
_MOST_BYTES = 100_000_000


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a small file; FileNotFoundError, or ValueError with the reason where there is none."""
    with open_file(path) as file:
        text = file.read(_MOST_BYTES)
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
        if b"\\ud" in text.lower():  # half a pair of UTF-16 is text that nothing can write
            content = json.loads(json.dumps(content, ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"`{path.name}` must be a JSON object, got text that is none ({error}) in {printable(path.parent)}."
            " Remove the folder or restore the file."
        ) from error
    if not isinstance(content, dict):
        got = f"{type(content).__name__} {str(content)[:40]!r}"
        raise ValueError(
            f"`{path.name}` must be a JSON object, got the {got} in {printable(path.parent)}."
            " Remove the folder or restore the file."
        )
    return content


def open_file(path: Path) -> BinaryIO:
    """The file, open to be read. Nothing else in its place keeps a reader waiting.

    FileNotFoundError without it; ValueError for a folder, a pipe and what may not be read.
    """
    reason = None
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return open(descriptor, "rb")
        os.close(descriptor)
        reason = "a folder" if path.is_dir() else "a pipe or a device"
    raise ValueError(
        f"`{path.name}` must be a file that can be read, got {reason} in {printable(path.parent)}."
        " Mend its permissions, or remove the folder."
    )


def write_json(path: Path, content: dict) -> None:
    """Replaces a small file whole: a reader sees the old one or the new one."""
    write_whole(path, json.dumps(content, indent=1), durable=False)


def finite(value: Any) -> Any:
    """The value, with None in the place of every NaN and infinity (JSON has no word for them)."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
