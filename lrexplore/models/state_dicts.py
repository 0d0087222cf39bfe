"""State dicts among all that a training script saves: which of them are weights, and under which names."""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from lrexplore import linalg
from lrexplore.models.weights_files import read_file

_AVERAGED = {"ema", "average", "averaged", "averages", "swa", "shadow"}  # words in a name
_TEACHER, _STUDENT = "teacher", "student"
_PLAIN = ("state_dict", "model_state_dict", "model", "network", "net", "params", "weights", "module", _STUDENT)
_OTHERS = re.compile(r"optim|sched|scaler|^amp|rng|loss|criterion|hyper|^args|config|callback|loops|metric|grad")
_WRAPPED = re.compile(r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Of the whole network: what wraps it calls it so.
_PREFIXES = ("module.", "model.", "network.", "net.", "ema_model.", "model_ema.", "ema.", "base_model.model.")
_COUNTED = ("total_ops", "total_params")  # of every layer, by a profiler
_COUNTERS = ("n_averaged", "decay", "num_updates", "updates", "initted", "step")  # of an average
_DEEPEST, _MOST_GROUPS, _SMALLEST_GROUP = 4, 60, 4


@dataclass(frozen=True)
class Reading:
    """One way to read a file as a state dict: its `tensors` by name, and the `place` where they stood in it, in words.

    `said` is what to tell of the choice; "" where there was none.
    """

    tensors: dict[str, Tensor]
    place: str = ""
    said: str = ""


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The tensors in a checkpoint by their names, on the CPU, all finite.

    `path`: a torch or safetensors file, one of several shards or their index, or a folder with one of these. Nothing in
    a pickle is run. What training scripts put around the weights (`state_dict`, `model`, ...) is opened, and prefixes
    of wrapped models (`module.` of DDP, `_orig_mod.` of torch.compile, `model.` of Lightning) are cut. Of averaged
    weights (EMA) and plain ones the averaged are taken, with a warning that says so.
    Raises FileNotFoundError, IsADirectoryError, or ValueError for a file that is no state dict.
    """
    [reading, *_] = readings(path)
    check_values(reading.tensors.items(), f"`{Path(path).name}`")
    tell(path, reading)
    return reading.tensors


def tell(path: str | Path, reading: Reading) -> None:
    """Warns of a choice that was made in reading a file."""
    if reading.said:
        warnings.warn(f"`{Path(path).name}` {reading.said}", stacklevel=3)


def readings(path: str | Path) -> list[Reading]:
    """Every way to read a file, the likeliest first. Raises as `read_state_dict`, but for values."""
    content = read_file(path)
    entries = [(place, tensors) for place, given in _mappings(content, ()) if (tensors := _cleaned(given))]
    if not entries:
        raise ValueError(
            f"`{Path(path).name}` must hold a state dict (tensors by name), got {_described(content)}."
            " Save `model.state_dict()` with torch.save or safetensors."
        )
    largest = max(len(tensors) for _, tensors in entries)
    entries.sort(key=lambda entry: (10 * len(entry[1]) < largest, *_likeliness(*entry)))
    groups = {place: tensors for place, tensors in entries}
    plain = next((tensors for place, tensors in entries if not _is_average(place, groups)), {})
    made = []
    for place, tensors in entries:
        name = ".".join(place)
        if not _is_average(place, groups):
            made.append(Reading(tensors, name))
        elif plain.keys() >= tensors.keys() or tensors.keys() >= plain.keys() > set():
            others = "; what they lack, such as buffers, is that of the others" if plain.keys() - tensors.keys() else ""
            said = (
                f"holds averaged weights, `{name}`, beside others: the averaged ones are taken{others}. Save the others"
                " by themselves to load those."
            )
            made.insert(0, Reading({**plain, **tensors}, name, said))
        else:
            made.append(Reading(tensors, name))
    if all(_is_average(place, groups) for place in groups):
        made = [Reading(tensors, ".".join(place)) for place, tensors in entries]
    return [part for whole in made for part in (whole, *_parts(whole))]


def _likeliness(place: tuple[str, ...], tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    name = place[-1].lower() if place else ""
    return _PLAIN.index(name) if name in _PLAIN else len(_PLAIN), -len(tensors)


def _is_average(place: tuple[str, ...], groups: Mapping[tuple[str, ...], Mapping]) -> bool:
    """Whether a part of a file holds averaged weights: by its name, and a teacher by having its student's tensors."""
    name = ".".join(place).lower()
    if _TEACHER in name:
        student = next((tensors for other, tensors in groups.items() if _STUDENT in ".".join(other).lower()), {})
        return student.keys() == groups[place].keys()
    return not _AVERAGED.isdisjoint(re.split(r"[._\d]", name))


def _mappings(content: object, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping]]:
    """Every mapping in a file that may hold weights, with its place."""
    if isinstance(content, (list, tuple)):
        content = {str(number): part for number, part in enumerate(content) if isinstance(part, Mapping)}
    if not isinstance(content, Mapping) or len(place) > _DEEPEST:
        return
    yield place, content
    for key, part in content.items():
        if isinstance(key, str) and not _OTHERS.search(key.lower()):
            yield from _mappings(part, (*place, key)) if isinstance(part, (Mapping, list, tuple)) else ()


def _cleaned(given: Mapping) -> dict[str, Tensor]:
    """The tensors of a mapping under the names they have without what wraps a model, and without counters."""
    state = {}
    for key, value in given.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and value.dtype.isnative:
            value = torch.from_numpy(value)
        if isinstance(key, str) and isinstance(value, Tensor):
            key = _WRAPPED.sub(r"\1", _WRAPPED.sub(r"\1", key))
            last = key.rpartition(".")[2]
            if last not in _COUNTED and last != "_extra_state" and key not in _COUNTERS:
                state[key] = value
    while prefix := next((p for p in _PREFIXES if state and all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return {} if len(state) == 1 and "" in state else state


def _parts(whole: Reading) -> Iterator[Reading]:
    """What stands in a state dict under one prefix, such as `backbone.` beside a head; averages first, then by size."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in whole.tensors.items():
        names = key.split(".")
        for depth in range(1, min(len(names), _DEEPEST + 1)):
            groups.setdefault(".".join(names[:depth]), {})[".".join(names[depth:])] = value
    large = {prefix: part for prefix, part in groups.items() if len(part) >= _SMALLEST_GROUP}
    by_place = {tuple(prefix.split(".")): part for prefix, part in large.items()}
    order = sorted(large, key=lambda prefix: (not _is_average(tuple(prefix.split(".")), by_place), -len(large[prefix])))
    for prefix in order[:_MOST_GROUPS]:
        others = sorted({key.split(".")[0] for key in whole.tensors if not key.startswith(f"{prefix}.")})
        beside = f" beside {', '.join(others[:3])}" if others else ""
        said = f"is read as what it has under `{prefix}.`{beside}." if others else ""
        yield Reading(large[prefix], f"{whole.place}.{prefix}".lstrip("."), f"{said} {whole.said}".strip())


def _described(content: object) -> str:
    kind = f"a {type(content).__name__}"
    if isinstance(content, Mapping) and content:
        kinds = [f"{key} ({type(value).__name__})" for key, value in list(content.items())[:5]]
        return f"{kind} with {', '.join(kinds)}"
    return f"an empty {type(content).__name__}" if isinstance(content, (Mapping, list, tuple)) and not content else kind


def check_values(tensors: Iterable[tuple[str, Tensor]], owner: str) -> None:
    """Raises ValueError for the first tensor without values (meta, lazy) or with NaN or infinity in it."""
    for key, tensor in tensors:
        if is_lazy(tensor):
            raise ValueError(
                f"`{key}` of {owner} must hold values, got an uninitialized tensor. Run one forward pass first."
            )
        linalg.check_values(
            tensor, key, "Load weights first.", "Use a checkpoint from before training diverged.", owner=owner
        )
