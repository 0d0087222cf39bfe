"""Which output positions of a layer are looked at, batch by batch: the same in every pass over the same loader."""

from collections.abc import Iterator
from zlib import crc32

import torch
from torch import Tensor


class Places:
    """At most `positions` positions of every input (None: all), drawn for each layer by itself, by its name."""

    def __init__(self, positions: int | None, generator: torch.Generator):
        self._positions = positions
        self._seed = int(torch.randint(2**31, (1,), generator=generator))

    def of(self, layer: str) -> "LayerPlaces":
        """Those of one layer, from its first batch on."""
        return LayerPlaces(self._positions, torch.Generator().manual_seed(self._seed ^ crc32(layer.encode())))


class LayerPlaces:
    """Positions of one layer, drawn anew for each call."""

    def __init__(self, positions: int | None, generator: torch.Generator):
        self._positions, self._generator = positions, generator

    def pick(self, output: Tensor, *, is_conv: bool) -> tuple[Tensor | None, int]:
        """Positions, in order, and how many; (None, count) where all of an output with a batch axis are looked at."""
        count = output.flatten(2).shape[2] if is_conv else output[0].numel() // output.shape[-1]
        if self._positions is None or self._positions >= count:
            return None, count
        picked = torch.randperm(count, generator=self._generator)[: self._positions].sort().values
        return picked.to(output.device), self._positions


def groups_of(numbers: Tensor, start: int, count: int, total: int) -> Tensor:
    """The number of the group of each of `count` clusters from `start` on, of `total` that the batch has become."""
    batch = len(numbers)
    per_input = total // batch if total % batch == 0 else 1  # as windows of an image
    return numbers[((start + torch.arange(count)) // max(per_input, 1)).clamp_max(batch - 1)]


def parts_of(x: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    """(index of the first, part) for parts of at most `size` inputs."""
    if x.ndim == 1 or len(x) <= size:
        yield 0, x
        return
    for start in range(0, len(x), size):
        yield start, x[start : start + size]
