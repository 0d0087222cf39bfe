"""The record of a pass over real inputs, one entry a layer; saved and loaded as safetensors."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lrexplore.calibration.head_inputs import HeadInputs, as_tensors, from_tensors, is_of_heads
from lrexplore.disk.tensor_file import fitting, read_tensors, write_tensors
from lrexplore.linalg.inputs import IMPLIED, REAL, WHITE, LayerInputs
from lrexplore.network.batches import Item
from lrexplore.network.passes import digest_of_first
from lrexplore.nn.attention import heads_of
from lrexplore.nn.linear import matrix_of

_FORMAT = "lrexplore calibration 1"


class Calibration(Mapping[str, LayerInputs]):
    """Layer name -> its `LayerInputs` (of the first group, for a grouped convolution: `entries` gives all).

    `heads`: name of an attention -> its `HeadInputs`, where they were asked for. `first_input` is a hash of the first
    input of the loader, by which a loader that gives other inputs on its next pass is known; "" where there is none.

    >>> calibration = lr.calibrate(torch.nn.Sequential(torch.nn.Linear(8, 6)), [torch.randn(16, 8)])
    >>> calibration
    Calibration(1 layers, 16 inputs)
    >>> calibration.save("inputs.safetensors")
    >>> lr.Calibration.load("inputs.safetensors")["0"].num_inputs
    8
    """

    def __init__(
        self,
        entries: dict[str, tuple[LayerInputs, ...]],
        num_inputs: int,
        heads: dict[str, HeadInputs] | None = None,
        first_input: str = "",
    ):
        self._entries, self.num_inputs, self.heads = dict(entries), num_inputs, dict(heads or {})
        self.first_input = first_input

    def __getitem__(self, name: str) -> LayerInputs:
        return self.entries(name)[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_implied(self) -> bool:
        """Whether no loader gave it, but `lr.implied_inputs`."""
        return any(entry.source for entries in self._entries.values() for entry in entries)

    def __repr__(self) -> str:
        if self.is_implied:
            return f"Calibration({len(self)} layers, implied by batch norm)"
        return f"Calibration({len(self)} layers, {self.num_inputs} inputs)"

    def entries(self, name: str) -> tuple[LayerInputs, ...]:
        """The layer's entries, one a group. Raises KeyError with the nearest names."""
        if name not in self._entries:
            near = get_close_matches(name, self._entries, n=3) or list(self._entries)[:3]
            raise KeyError(f"`calibration` must hold layer {name!r}, got layers such as {', '.join(near)}.")
        return self._entries[name]

    @staticmethod
    def require(given: object, model: nn.Module) -> None:
        """Raises TypeError unless `given` is a calibration, ValueError unless it is one of `model`."""
        if not isinstance(given, Calibration):
            raise TypeError(
                f"`calibration` must be what `lr.calibrate` returns, got a {type(given).__name__}. "
                "Pass `lr.calibrate(model, loader)`, or the loader itself as `loader`."
            )
        given.check(model)

    def check(self, model: nn.Module) -> None:
        """Raises ValueError unless every layer here is in `model`, with weights of the right shape."""
        modules = dict(model.named_modules())
        for name, entries in self._entries.items():
            module = modules.get(name)
            weight = None if getattr(module, "weight", None) is None else matrix_of(module)
            if weight is None:
                raise ValueError(
                    f"`calibration` must be of this model, got one with a layer `{name}`, which the model does "
                    "not have. Calibrate this model."
                )
            for entry in entries:
                entry.check_shape((len(weight) // len(entries), *weight.shape[1:]))
        for name, inputs in self.heads.items():
            attention = heads_of(modules[name]) if name in modules else None
            if attention is None or inputs.mean.shape != (attention.num_heads, attention.head_dim):
                raise ValueError(
                    f"`calibration` must be of this model, got one with {inputs.mean.shape[0]} heads of "
                    f"{inputs.mean.shape[1]} in `{name}`, which the model does not have. Calibrate this model."
                )

    def of(self, model: nn.Module) -> "Calibration":
        """The entries of layers that are in `model` too, such as one whose attention heads are smaller."""
        modules = dict(model.named_modules())
        here = {name: parts for name, parts in self._entries.items() if "weight" in _parameters(modules.get(name))}
        return Calibration(here, self.num_inputs, first_input=self.first_input)

    def warn_of_others(self, item: Item) -> None:
        """Warns where `item`, the first of a loader, begins with another input than the loader of this calibration."""
        if self.first_input and digest_of_first(item.inputs) != self.first_input:
            warnings.warn(
                "`loader` gives other inputs than `calibration` was made of, as one that shuffles or draws crops anew: "
                "what is held out to judge by may be what was fitted to. Use `shuffle=False` and no random "
                "augmentation, or a list of batches, unless this is meant.",
                stacklevel=3,
            )

    def save(self, path: str | Path) -> None:
        """Writes everything to one safetensors file."""
        tensors: dict[str, Tensor] = {}
        numbers: dict[str, dict[str, Any]] = {}
        for name, entries in self._entries.items():
            for group, entry in enumerate(entries):
                key = f"{name}|{group}"
                numbers[key] = {}
                for field in fields(entry):
                    value = getattr(entry, field.name)
                    if isinstance(value, Tensor):
                        tensors[f"{key}|{field.name}"] = value.contiguous().cpu()
                    else:
                        numbers[key][field.name] = value
        tensors.update(as_tensors(self.heads))
        about = {
            "format": _FORMAT, "num_inputs": self.num_inputs, "first_input": self.first_input, "entries": numbers
        }  # fmt: skip
        write_tensors(path, tensors, about)

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """The calibration in a file that `save` wrote. Raises ValueError for any other file."""
        tensors, about = read_tensors(path, _FORMAT, "Calibration.save", "Give the path of one.")
        with fitting(path, "Calibration.save"):
            grouped: dict[str, dict[str, Any]] = {}
            of_heads = {key: tensors.pop(key) for key in list(tensors) if is_of_heads(key)}
            for key, tensor in tensors.items():
                entry, _, field = key.rpartition("|")
                grouped.setdefault(entry, dict(about["entries"][entry]))[field] = tensor
            entries: dict[str, list[LayerInputs]] = {}
            for key in about["entries"]:
                values = grouped[key]
                values["kernel_size"] = tuple(_whole(size, 1) for size in values["kernel_size"])
                _whole(values["num_vectors"], 1)
                float(values["sampling_variance"] + 0)
                if values.get("source", REAL) not in (REAL, IMPLIED, WHITE):
                    raise ValueError(f"{values['source']!r} is no source of inputs")
                name, _, group = key.rpartition("|")
                parts = entries.setdefault(name, [])
                if int(group) != len(parts):
                    raise ValueError(f"group {group} of {name} comes after {len(parts)} groups")
                parts.append(LayerInputs(**values))
            layers = {name: tuple(parts) for name, parts in entries.items()}
            first = str(about.get("first_input", ""))
            return cls(layers, _whole(about["num_inputs"], 1), from_tensors(of_heads), first)


def _whole(number, least: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise ValueError(f"{number!r} is no whole number from {least} on")
    return number


def _parameters(module: nn.Module | None) -> dict:
    return {} if module is None else module._parameters
