"""The choices that a run's numbers depend on. Runs that agree in all of them and in their seed repeat each other."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What says where and how a run is made and what it records: its numbers do not depend on it but for rounding.
SILENT = (
    "name", "runs", "resume", "record_norms", "norms_steps", "device", "workers", "checkpoint_steps", "tensorboard",
    "corrupt", "record_spectra", "spectra_steps",
)  # fmt: skip
# What concerns the factors only: an unfactorized run did not use it.
FACTORS = (
    "initializer", "rank_scale", "rank_multiple", "rank_ratio", "plan", "scheme", "rank_rule", "layers", "execution",
    "decay", "norms_from", "form",
)  # fmt: skip
RANKS = ("rank_scale", "rank_ratio", "plan")
UNFACTORIZED = "unfactorized"
# Choices that came later, with what the runs made before them did.
LATER = {
    "ema": None, "execution": "factors", "rank_multiple": 1, "head_scale": 1.0, "qk_initializer": "drawn",
    "ov_initializer": "drawn", "qk_decay": "weight", "ov_decay": "weight", "dropout": 0.0, "languages": "en-de",
    "vocabulary": 8000, "beam": 4, "start": None, "teacher": None, "teacher_weight": 0.5,
    "temperature": 2.0, "freeze": None, "layer_lr": None, "record_spectra": True, "spectra_steps": None,
    "form": "matrix", "sparsity": None, "prune": "magnitude", "cutout": None,
    "overcomplete": None, "rank_change": None, "rank_tolerance": None, "rank_budget": None, "rank_warmup": None,
    "rank_change_steps": None,
}  # fmt: skip


def is_factorized(config: Mapping[str, Any]) -> bool:
    """Whether a run with this configuration has factor pairs in the place of layers, at its end if not before."""
    return any(config.get(key) is not None for key in (*RANKS, "rank_change"))


def choices(described: Mapping[str, Any]) -> dict[str, Any]:
    """The choices in the content of a run.json that the run's numbers depend on, its seed among them.

    Of an unfactorized run none that concerns factors: its initializer is "unfactorized", its decay "weight" or
    "nuclear". Of an overcomplete one the initializer says so, and how. `plan` says what is in the plan and not where it
    lay, `norms_from`, `start` and `teacher` name theirs without its seed, `micro_batch_size` is the number of images
    that one process took at once, chosen or not, and None
    where that was all of a step's.
    """
    config = {**LATER, **described.get("config", {})}
    chosen = {key: value for key, value in config.items() if key not in SILENT}
    started = (described.get("start") or {}).get("layers")  # a network that was factorized before the run
    if chosen["sparsity"] is None:
        chosen["prune"] = None
    if kind := config.get("overcomplete"):
        kept = {key: chosen.get(key) for key in ("decay", "layers", "scheme")}
        chosen |= {**dict.fromkeys(FACTORS), **kept, "initializer": f"overcomplete, {kind}", "overcomplete": None}
    elif config.get("rank_change") in ("cuttlefish", "pufferfish"):
        chosen["initializer"] = UNFACTORIZED
    elif not is_factorized(config) and not started:
        layers = chosen.get("layers") if chosen["sparsity"] is not None else None  # those that are sparse
        chosen |= {**dict.fromkeys(FACTORS), "initializer": UNFACTORIZED, "layers": layers}
        chosen["decay"] = "nuclear" if config.get("decay") == "nuclear" else "weight"
    if chosen.get("plan") is not None and described.get("plan"):
        chosen["plan"] = plan_name(described["plan"])
    if chosen.get("norms_from") is not None:
        chosen["norms_from"] = re.sub(rf"-seed{config.get('seed')}(?=-|$)", "", Path(chosen["norms_from"]).name)
    for field in ("start", "teacher"):  # that of every seed is another file
        if chosen.get(field) is not None:
            chosen[field] = re.sub(rf"-seed{config.get('seed')}(?=[-./]|$)", "", chosen[field])
    if batch := config.get("batch_size"):
        processes = described.get("environment", {}).get("num_processes", 1)
        micro = config.get("micro_batch_size") or batch // processes
        chosen["micro_batch_size"] = None if micro == batch else micro
    return {key: tuple(value) if isinstance(value, list) else value for key, value in chosen.items()}


def plan_name(plan: Mapping[str, Any]) -> str:
    """A short name for what a rank plan says: the share of parameters it keeps, and four digits of its checksum.

    The checksum covers names, ranks and schemes of the layers, which are what a training takes from a plan.
    """
    layers = [
        [layer["name"], layer["rank"], layer["scheme"], *([layer["form"]] if isinstance(layer["rank"], list) else [])]
        for layer in plan["layers"]
    ]
    digest = hashlib.sha256(json.dumps(layers).encode()).hexdigest()[:4]
    before, after = plan["parameters"]
    return f"{after / before:.3g} of the parameters ({digest})"


def differing(made: Sequence[Mapping[str, Any]]) -> list[str]:
    """The choices in which these (of `choices`) are not all alike, the seed last; one that was not made is None."""
    keys = dict.fromkeys(key for one in made for key in one)
    unlike = [key for key in keys if len({_word(one.get(key)) for one in made}) > 1]
    return sorted(unlike, key=lambda key: key == "seed")


def identity(made: Mapping[str, Any], *, seed: bool = True) -> tuple:
    """What is the same for runs that agree in all choices, in their seed too unless it is not to count."""
    words = {key: _word(value) for key, value in made.items() if value is not None and (seed or key != "seed")}
    return tuple(sorted(words.items()))


def _word(value: object) -> str:
    """A value as text that is equal for equal values: 4 epochs are 4.0 epochs."""
    return repr(float(value)) if isinstance(value, int) and not isinstance(value, bool) else str(value)
