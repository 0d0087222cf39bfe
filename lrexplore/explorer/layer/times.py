"""How long a layer takes on this machine at some ranks, measured; kept for layers of equal kind and size."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lrexplore.network import Layer
from lrexplore.ranks.latency import BATCH_SIZE, kind_of, layer_latencies

_SHARES = (1 / 64, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1)


@dataclass(frozen=True, eq=False)
class LayerTime:
    """Milliseconds of one prediction at `ranks`, ascending, and of the layer as it is; `how` says what was timed."""

    ranks: np.ndarray
    ms: np.ndarray
    original_ms: float
    how: str

    def ratios(self, max_rank: int) -> np.ndarray:
        """Time over that of the layer as it is at ranks 1..max_rank; interpolated between those measured."""
        return np.interp(np.arange(1, max_rank + 1), self.ranks, self.ms) / self.original_ms

    def largest_faster(self, max_rank: int) -> int:
        """The largest rank up to which every rank is faster than the layer as it is; 0 where rank 1 is not."""
        slower = np.flatnonzero(self.ratios(max_rank) >= 1)
        return int(slower[0]) if len(slower) else max_rank


class LayerTimes:
    """The times of a model's layers that were measured so far."""

    def __init__(self, model: nn.Module):
        self._model = model
        self._known: dict[tuple, LayerTime] = {}

    def known(self, layer: Layer, scheme: str) -> LayerTime | None:
        """What was measured of a layer, or of one like it."""
        return self._known.get((*kind_of(layer), scheme))

    def measure(self, layer: Layer, scheme: str, stopped: Callable[[], bool]) -> bool:
        """Whether the layer's time became known: it was not, its size is, and `stopped()` never came true."""
        if layer.calls is None or self.known(layer, scheme) is not None:
            return False
        largest = min(layer.matrix_shape(scheme))
        ranks = sorted({max(1, round(share * largest)) for share in _SHARES})
        latencies = layer_latencies(self._model, layer, ranks, scheme, stopped=stopped)
        if latencies is None:
            return False
        how = f"{BATCH_SIZE} inputs at once, {_device(self._model.get_submodule(layer.name).weight)}"
        self._known[*kind_of(layer), scheme] = LayerTime(np.array(ranks), *latencies, how)
        return True


def _device(weight: torch.Tensor) -> str:
    """The device and number type of a weight in words."""
    kind = str(weight.dtype).removeprefix("torch.")
    if weight.device.type == "cuda":
        return f"{kind}, {torch.cuda.get_device_name(weight.device)}"
    threads = torch.get_num_threads()
    return f"{kind}, {threads} CPU thread{'s' if threads > 1 else ''}"
