"""What layers are given behind the layers of a copy that were factorized already, in pairs with the original's."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from lrexplore.calibration.calibrate import CHUNK_VALUES, NUM_HELD_OUT, NUM_SAMPLES, POSITIONS
from lrexplore.calibration.calibration import Calibration
from lrexplore.calibration.patches import input_vectors
from lrexplore.calibration.places import LayerPlaces, Places, groups_of, parts_of
from lrexplore.calibration.reservoir import Reservoir
from lrexplore.linalg.inputs import LayerInputs
from lrexplore.linalg.shifted_inputs import ShiftedInputs
from lrexplore.network import Layer
from lrexplore.network.batches import Item, batch_size, evaluation, run_model
from lrexplore.network.grouping import Numbering, is_held_out
from lrexplore.network.private import private_copy


def inputs_behind(
    model: nn.Module, changed: nn.Module, layers: Iterable[Layer], items: Iterable[Item], calibration: Calibration
) -> Calibration:
    """The entries of these layers behind what `changed`, a copy of `model`, has factorized: `ShiftedInputs`, or those
    of `calibration` as they are for a layer whose inputs are the same.

    One pass over `items`, the inputs that the calibration was made of by `calibrate` with its own choices: of each the
    same positions are looked at. What the calibration leans on keeps its share. In memory are, for each of the layers,
    two matrices (n, n) in double precision and the samples.
    """
    twins = private_copy(model), private_copy(changed)
    generator = torch.Generator().manual_seed(0)
    places = Places(POSITIONS, generator)
    pairs = {layer.name: _Pairs(twins[0], layer, places.of(layer.name), generator) for layer in layers}
    hooks, numbering = [], Numbering()
    try:
        for name, pair in pairs.items():
            for twin, take in zip(twins, (pair.take_original, pair.take_changed), strict=True):
                module = twin.get_submodule(name)
                hooks.append(module.register_forward_hook(partial(_given, take), with_kwargs=True))
        with evaluation(twins[0]), evaluation(twins[1]):
            for item in items:
                numbers = torch.tensor(numbering.of(item.groups, batch_size(item.inputs)))
                for pair in pairs.values():
                    pair.start(numbers)
                for twin in twins:
                    run_model(twin, item.inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return Calibration(
        {name: pairs.pop(name).entries(calibration.entries(name)) for name in list(pairs)}, calibration.num_inputs
    )


def _given(take, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
    take(args[0] if args else kwargs["input"], output)


class _Pairs:
    """Sums over pairs of an input x and d = x' - x, what it has moved by, of every group of one layer."""

    def __init__(self, model: nn.Module, layer: Layer, places: LayerPlaces, generator: torch.Generator):
        self._layer, self._module, self._places = layer, model.get_submodule(layer.name), places
        n, weight = prod(layer.weight_shape[1:]), model.get_parameter(f"{layer.name}.weight")
        self._like, self._size = weight, n
        self._moved = [torch.zeros(n, dtype=torch.float64, device=weight.device) for _ in range(layer.groups)]
        self._means = [torch.zeros_like(moved) for moved in self._moved]
        self._with_own = [moved.new_zeros(n, n) for moved in self._moved]
        self._squares = [moved.new_zeros(n, n) for moved in self._moved]
        self._count = 0
        self._samples = [Reservoir(NUM_SAMPLES, generator) for _ in range(layer.groups)]
        self._held_out = [Reservoir(NUM_HELD_OUT, generator) for _ in range(layer.groups)]
        self._waiting: list[tuple[Tensor, Tensor | None]] = []
        self._numbers = torch.zeros(1, dtype=torch.long)

    def start(self, numbers: Tensor) -> None:
        """Announces a batch whose inputs belong to the groups of these numbers."""
        self._numbers, self._waiting = numbers, []

    def take_original(self, x: Tensor, output: Tensor) -> None:
        """Takes up one call of the original's layer; the copy's calls come after, in the same order."""
        x, output = self._batched(x, output)
        picked, _ = self._places.pick(output, is_conv=self._layer.kind == "conv")
        self._waiting.append((x.detach(), picked))

    def take_changed(self, x: Tensor, output: Tensor) -> None:
        """Takes up the call of the copy's layer."""
        moved, _ = self._batched(x, output)
        own, picked = self._waiting.pop(0)
        count = len(picked) if picked is not None else prod(output.shape) // (len(own) * self._layer.weight_shape[0])
        size = max(count, 1) * self._size * self._layer.groups
        for (start, part), (_, other) in zip(
            parts_of(own, max(1, CHUNK_VALUES // size)),
            parts_of(moved.detach(), max(1, CHUNK_VALUES // size)),
            strict=True,
        ):
            vectors = torch.cat(
                [input_vectors(self._module, part, picked), input_vectors(self._module, other, picked)], -1
            )
            numbers = groups_of(self._numbers, start, len(vectors), len(own))
            held = torch.tensor([is_held_out(number) for number in numbers.tolist()], device=vectors.device)
            self._count += int((~held).sum()) * vectors.shape[1]
            for group in range(self._layer.groups):
                self._add(group, vectors[:, :, group], held)

    def _batched(self, x: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        alone = x.ndim == (3 if self._layer.kind == "conv" else 1)
        return (x[None], output[None]) if alone else (x, output)

    def _add(self, group: int, pairs: Tensor, held: Tensor) -> None:
        if held.any():
            self._held_out[group].add(pairs[held].flatten(0, 1))
        if held.all():
            return
        fit = pairs[~held].flatten(0, 1)
        self._samples[group].add(fit)
        own, moved = fit[:, : self._size], fit[:, self._size :] - fit[:, : self._size]
        self._with_own[group] += own.mT @ moved
        self._squares[group] += moved.mT @ moved
        self._moved[group] += moved.sum(0, dtype=torch.float64)
        self._means[group] += own.sum(0, dtype=torch.float64)

    def entries(self, known: tuple[LayerInputs, ...]) -> tuple[LayerInputs, ...]:
        """The finished record, one entry a group, on top of what is known of the original's inputs."""
        return tuple(self._entry(group, entry) for group, entry in enumerate(known))

    def _entry(self, group: int, known: LayerInputs) -> LayerInputs:
        if not self._count or not bool(self._squares[group].any()):
            return known  # nothing before it has changed
        share = 1 - known.implied_share
        mean, moved = self._means[group] / self._count, self._moved[group] / self._count
        with_own = self._with_own[group] / self._count - torch.outer(mean, moved)
        squares = self._squares[group] / self._count - torch.outer(moved, moved)
        covariance = known.covariance() + share * (with_own + with_own.mT + squares)
        new_mean = known.mean + share * moved
        own, other = self._halves(self._samples[group])
        own_held, other_held = self._halves(self._held_out[group])
        values = {name: getattr(known, name) for name in known.__dataclass_fields__}
        return ShiftedInputs(
            **values
            | {
                "mean": new_mean,
                "second_moment": covariance + torch.outer(new_mean, new_mean),
                "samples": other,
                "held_out": other_held,
                "original": replace(known, samples=own, held_out=own_held),
                "cross": known.covariance() + share * with_own,
            }
        )

    def _halves(self, reservoir: Reservoir) -> tuple[Tensor, Tensor]:
        pairs = reservoir.sample(2 * self._size, self._like)
        return pairs[:, : self._size], pairs[:, self._size :]
