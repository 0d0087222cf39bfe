"""What the small files of a run must look like: every JSON that is read is checked here, whoever wrote it."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lrexplore.disk.paths import printable
from lrexplore.records.layout import VERSION, read_json

STATES = ("running", "done", "stopped", "failed")
UNREADABLE = "unreadable"
_LARGEST = 2**63 - 1
_LATEST_S = 9e9  # the year 2255: pandas has times up to 2262


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _is_rank(value: Any) -> bool:
    return value is None or _is_whole(value) or _is_list_of(_is_whole)(value)  # None: the layer stays whole


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | bool) or _is_number(value)


def _is_time(value: Any) -> bool:
    return _is_number(value) and 0 <= value < _LATEST_S


def _is_list_of(check: Callable) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _is_object_of(**checks: Callable) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, dict) and all(key in value and is_it(value[key]) for key, is_it in checks.items())
    )


_is_object = _is_object_of()


def _is_environment(value: Any) -> bool:
    return _is_object(value) and all(map(_is_plain, value.values())) and _is_count(value.get("num_processes", 1))


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value > 0


_CHECKS: dict[str, tuple[Callable, str]] = {
    "text": (_is_text, "a text"),
    "whole": (_is_whole, "a whole number of at most 63 bits"),
    "number": (_is_number, "a number"),
    "switch": (_is_switch, "true or false"),
    "plain": (_is_plain, "a text, a number, true, false or null"),
    "time": (_is_time, "seconds since 1970"),
    "state": (lambda value: value in STATES, f"one of {', '.join(STATES)}"),
    "texts": (_is_list_of(_is_text), "a list of texts"),
    "numbers": (_is_list_of(_is_number), "a list of numbers"),
    "objects": (_is_list_of(_is_object), "a list of objects"),
    "object": (_is_object, "an object"),
    "plan": (
        _is_object_of(
            layers=_is_list_of(_is_object_of(name=_is_text, rank=_is_rank, scheme=_is_text)),
            parameters=lambda value: _is_list_of(_is_whole)(value) and len(value) == 2 and min(value) > 0,
        ),
        "a rank plan",
    ),
    "thinned": (_is_object_of(steps=_is_count), "an object with `steps`"),
    "environment": (_is_environment, "an object of plain values, `num_processes` a whole number >= 1"),
}  # fmt: skip

DESCRIPTION = {
    "name": "text", "started": "time", "config": "object", "environment": "environment", "layers": "texts",
    "num_classes": "whole", "num_parameters": "whole", "execution": "object", "factorization": "objects",
    "pruning": "objects",
    "plan": "plan", "start": "object", "spectra_layers": "texts", "thinned": "thinned",
}  # fmt: skip
NEEDED = ("started", "config")
STATUS = {
    "state": "state", "pid": "whole", "host": "text", "time": "time", "process_started": "number", "message": "text",
    "step": "whole", "num_steps": "whole", "epoch": "whole",
}  # fmt: skip
CONFIG = {
    **dict.fromkeys(
        ("model", "data", "plan", "start", "teacher", "freeze", "layer_lr", "rank_rule", "overcomplete", "rank_change",
         "layers", "initializer", "scheme", "execution", "draw", "decay",
         "norms_from", "optimizer", "schedule", "warmup", "recipe", "precision", "device", "corrupt", "runs", "name",
         "form", "prune",
         "qk_initializer", "ov_initializer", "qk_decay", "ov_decay", "languages"),
        "text",
    ),
    **dict.fromkeys(
        ("num_images", "image_size", "rank_multiple", "steps", "batch_size", "micro_batch_size", "seed", "workers",
         "checkpoint_steps", "norms_steps", "spectra_steps", "vocabulary", "beam", "cutout", "rank_change_steps"),
        "whole",
    ),
    **dict.fromkeys(
        ("held_out", "rank_scale", "rank_ratio", "decay_strength", "lr", "momentum", "clip_norm", "label_smoothing",
         "ema", "warmup_epochs", "step_factor", "epochs", "head_scale", "dropout", "teacher_weight", "temperature",
         "sparsity", "rank_tolerance", "rank_budget", "rank_warmup"),
        "number",
    ),
    **dict.fromkeys(
        ("augment", "decay_norms", "record_norms", "record_spectra", "channels_last", "compile", "tensorboard",
         "resume"),
        "switch",
    ),
    "milestones": "numbers",
}  # fmt: skip
"""Key -> what its value must be where it is there; a choice that was not made is null."""


def read_description(folder: Path) -> dict[str, Any]:
    """The content of a run's run.json, whose version we know and whose values are what their readers take them for.

    FileNotFoundError without the file, ValueError with the reason for one that cannot be read.
    """
    description = check_version(folder)
    for key in NEEDED:
        if key not in description:
            raise ValueError(_wrong(folder / "run.json", key, _CHECKS[DESCRIPTION[key]][1], "nothing"))
    _check(folder / "run.json", description, DESCRIPTION)
    _check(folder / "run.json", description["config"], CONFIG)
    return {"layers": [], "environment": {}, **description}


def check_version(folder: Path) -> dict[str, Any]:
    """The content of a run's run.json, of which only the version is checked: ValueError for a later one than ours."""
    description = read_json(folder / "run.json")
    version: Any = description.get("version")
    if not _is_whole(version) or version > VERSION:
        raise ValueError(
            f"`{folder}` must hold records of version {VERSION} or older, got version {version}."
            " Update lrexplore to read them."
        )
    return description


def read_status(folder: Path) -> dict[str, Any]:
    """The content of a run's status.json. FileNotFoundError without the file, ValueError where it cannot be read."""
    status = read_json(folder / "status.json")
    if "state" not in status:
        raise ValueError(_wrong(folder / "status.json", "state", _CHECKS["state"][1], "nothing"))
    _check(folder / "status.json", status, STATUS, "plain")
    numbers = {key: value for key, value in status.items() if key not in STATUS and isinstance(value, str | bool)}
    for key, value in numbers.items():
        raise ValueError(_wrong(folder / "status.json", key, "a number", value))
    return status


def _check(path: Path, content: Mapping, kinds: Mapping[str, str], other: str | None = None) -> None:
    for key, value in content.items():
        kind = kinds.get(key, other)
        if kind is None or (value is None and kind not in ("state", "object", "time")):
            continue
        is_it, words = _CHECKS[kind]
        if not is_it(value):
            raise ValueError(_wrong(path, key, words, value))


def _wrong(path: Path, key: str, words: str, got: object) -> str:
    shown = re.sub(r"\s+", " ", str(got))[:40]
    return (
        f"`{key}` must be {words}, got {shown} in {path.name} of {printable(path.parent)}."
        " Restore the file, or remove the folder."
    )
