"""A network factorized layer after layer, each on what the layers before it then give."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from lrexplore.calibration import Calibration
from lrexplore.calibration.behind import inputs_behind
from lrexplore.network import Layer, replace_layers
from lrexplore.network.batches import Item, evaluation, run_model
from lrexplore.network.layer_choices import scheme_for
from lrexplore.network.private import private_copy

NUM_BLOCKS = 8
"""Passes over the inputs: the layers of a block are fitted behind the blocks before it, not behind each other."""


def factorize_in_sequence(
    model: nn.Module,
    layers: Iterable[Layer],
    ranks: dict[str, int],
    items: Callable[[], Iterable[Item]],
    *,
    calibration: Calibration,
    scheme: str | dict[str, str],
    generator: torch.Generator | None = None,
    num_blocks: int = NUM_BLOCKS,
    progress: Callable[[int, int, str], None] | None = None,
) -> nn.Module:
    """A copy of `model` with low-rank layers, block after block in the order in which they are called.

    `items` gives the inputs, the same at every call; `calibration` is of them.
    """
    chosen = [layer for layer in in_order(model, layers, next(iter(items()))) if layer.name in ranks]
    small, records = model, {}
    for number, block in enumerate(blocks_of(chosen, num_blocks)):
        if progress:
            progress(number, num_blocks, "inputs behind the layers before")
        behind = inputs_behind(model, small, block, items(), calibration) if number else calibration
        small = replace_layers(
            small, ranks={layer.name: ranks[layer.name] for layer in block}, initializer="sequential",
            scheme={layer.name: scheme_for(layer, scheme) for layer in block}, calibration=behind, generator=generator,
        )  # fmt: skip
        own = {layer.name for layer in block}
        for record in small.factorization:  # type: ignore[union-attr]  # torch: attributes of modules are tensors
            if record.name in own or record.name not in records:
                records[record.name] = record
    if progress:
        progress(num_blocks, num_blocks, "")
    told: Any = tuple(records.values())
    small.factorization = told
    return small


def in_order(model: nn.Module, layers: Iterable[Layer], item: Item) -> list[Layer]:
    """The layers in the order of their first calls on an item; those that are never called are left out."""
    by_name = {layer.name: layer for layer in layers}
    called: dict[str, None] = {}
    twin = private_copy(model)
    for name in by_name:
        twin.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: called.setdefault(name) and None)
    with evaluation(twin):
        run_model(twin, item.inputs)
    return [by_name[name] for name in called]


def blocks_of(layers: list[Layer], count: int) -> list[list[Layer]]:
    """At most `count` runs of consecutive layers of nearly equal lengths; none for no layers."""
    count = min(count, len(layers))
    edges = [len(layers) * number // count for number in range(count + 1)] if count else [0]
    return [layers[first:last] for first, last in zip(edges, edges[1:], strict=False)]
