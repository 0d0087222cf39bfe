"""Measured time of a layer as it is and at some ranks, in place of counting its operations."""

import numpy as np
import torch
from torch import nn

from lrexplore.linalg import Factors
from lrexplore.nn import FactorizedConv2d, FactorizedLinear, Layer
from lrexplore.nn.latency import paired_latency_ms

_SHARES = (0.05, 0.15, 0.35, 0.6, 1.0)


class LatencyCost:
    """Cost function in ms of one batch of `batch_size` inputs on the model's device: cost(layer, rank, scheme).

    Every layer is timed by itself, as it is and at five ranks up to break-even in turns; ranks between are
    interpolated, and layers of one kind and size are timed once. Raises ValueError for layers of unknown size.
    """

    def __init__(self, model: nn.Module, batch_size: int = 8, num_rounds: int = 5):
        self._model, self._batch_size, self._num_rounds = model, batch_size, num_rounds
        self._known = {}

    def __call__(self, layer: Layer, rank: int, scheme: str) -> float:
        ranks, times, original = self._times(layer, scheme)
        return original if rank == 0 else float(np.interp(rank, ranks, times))

    def _times(self, layer: Layer, scheme: str):
        if layer.calls is None:
            raise ValueError(
                f"`latency_ratio` must know the size of every layer, got none for `{layer.name}`: "
                f"{layer.measured}. Pass `example_input`, or a `parameter_ratio`."
            )
        key = (layer.kind, layer.weight_shape, layer.stride, layer.groups, layer.calls, scheme)
        if key not in self._known:
            self._known[key] = self._measure(layer, scheme)
        return self._known[key]

    def _measure(self, layer: Layer, scheme: str):
        module = self._model.get_submodule(layer.name)
        x = self._input(layer, module)
        top = max(1, layer.break_even_rank(scheme))
        ranks = sorted({max(1, round(share * top)) for share in _SHARES})
        twins = [_with_rank(module, layer, rank, scheme) for rank in ranks]
        runs = [lambda net=net: net(x) for net in (module, *twins)]
        original, *times = paired_latency_ms(runs, x.device, self._num_rounds)
        calls = len(layer.calls)
        return np.array(ranks), calls * np.maximum.accumulate(times), calls * original

    def _input(self, layer: Layer, module: nn.Module) -> torch.Tensor:
        weight = module.weight
        rows, columns = layer.calls[0].input_size
        if layer.kind == "conv":
            shape = (self._batch_size, module.in_channels, rows, columns)
        else:
            shape = (self._batch_size * rows, module.in_features)
        return torch.zeros(shape, dtype=weight.dtype, device=weight.device)


def _with_rank(module: nn.Module, layer: Layer, rank: int, scheme: str) -> nn.Module:
    m, n = layer.matrix_shape(scheme)
    like = {"dtype": module.weight.dtype, "device": module.weight.device}
    factors = Factors(torch.ones(m, rank, **like), torch.ones(rank, n, **like))
    if layer.kind == "linear":
        return FactorizedLinear.from_layer(module, factors)
    return FactorizedConv2d.from_layer(module, [factors] * layer.groups, scheme)
