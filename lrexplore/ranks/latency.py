"""Measured time of a layer as it is and at some ranks, beside the count of its operations."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn

from lrexplore.linalg import Factors
from lrexplore.network import Layer
from lrexplore.network.batches import evaluation
from lrexplore.network.private import private_copy
from lrexplore.network.timing import latency_rounds
from lrexplore.nn import FactorizedConv2d, FactorizedLinear
from lrexplore.nn.tensor import CONVS

BATCH_SIZE = 8
_SHARES = (0.05, 0.15, 0.35, 0.6, 1.0)
_NUM_ROUNDS, _TIME_LIMIT_S = 7, 2.0


def layer_latencies(
    model: nn.Module,
    layer: Layer,
    ranks: list[int],
    scheme: str = "channel",
    *,
    batch_size: int = BATCH_SIZE,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[np.ndarray, float] | None:
    """Times of a layer at some ranks and as it is, ms of one prediction of `batch_size` inputs on the model's device.

    The least of seven rounds in turns (fewer where they take over two seconds), for what else the machine does only
    ever adds; all calls of the layer in one forward pass counted. The layer is timed by itself, on inputs of the size
    it sees. None where `stopped()` came true on the way.
    Raises ValueError for a layer of unknown size.
    """
    if layer.calls is None:
        raise ValueError(
            f"`layer` must be one of known size to be timed, got `{layer.name}`: {layer.measured} "
            "Or set a `parameter_ratio`."
        )
    if not layer.calls:  # another module reads its weight
        return np.zeros(len(ranks)), 0.0
    module = private_copy(model.get_submodule(layer.name))
    x = _input(layer, module, batch_size)
    networks = [*_twins(module, layer, ranks, scheme), module]
    rounds, start = [], time.monotonic()
    with evaluation(module):
        for times in islice(latency_rounds([partial(net, x) for net in networks], x.device), 1 + _NUM_ROUNDS):
            if stopped():
                return None
            rounds.append(times)
            if len(rounds) > 2 and time.monotonic() - start > _TIME_LIMIT_S:
                break
    *by_rank, original = len(layer.calls) * np.min(rounds[1:], axis=0)
    return np.array(by_rank), float(original)


def form_latencies(model: nn.Module, layer: Layer, form: str, ranks: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Times of a layer in a form at each of these ranks, ms, measured as `layer_latencies` does."""
    assert layer.calls is not None
    module: Any = private_copy(model.get_submodule(layer.name))
    x = _input(layer, module, BATCH_SIZE)
    like: dict[str, Any] = {"device": x.device, "dtype": x.dtype}
    networks = []
    for one in ranks:
        twin = CONVS[form].like(module, one).to_empty(device=x.device)
        for parameter in twin.parameters():
            parameter.data = torch.ones(parameter.shape, **like)
        networks.append(twin)
    rounds, start = [], time.monotonic()
    with evaluation(module):
        for times in islice(latency_rounds([partial(net, x) for net in networks], x.device), 1 + _NUM_ROUNDS):
            rounds.append(times)
            if len(rounds) > 2 and time.monotonic() - start > _TIME_LIMIT_S:
                break
    return len(layer.calls) * np.min(rounds[1:], axis=0)


class LatencyCost:
    """Cost function in ms of one batch of `BATCH_SIZE` inputs on the model's device: cost(layer, rank, scheme).

    Every layer is timed as it is and at five ranks up to break-even; ranks between are interpolated, a larger rank
    never takes less, and layers of one kind and size are timed once.
    """

    def __init__(self, model: nn.Module):
        self._model = model
        self._measured: dict[tuple, tuple[list[int], np.ndarray, float]] = {}
        self._forms: dict[tuple, np.ndarray] = {}

    def __call__(self, layer: Layer, rank: int, scheme: str) -> float:
        key = (*kind_of(layer), scheme)
        if key not in self._measured:
            top = max(1, layer.break_even_rank(scheme))
            ranks = sorted({max(1, round(share * top)) for share in _SHARES})
            measured = layer_latencies(self._model, layer, ranks, scheme)
            assert measured is not None  # nothing stops it
            self._measured[key] = ranks, *measured
        ranks, times, original = self._measured[key]
        return original if rank == 0 else float(np.interp(rank, ranks, np.maximum.accumulate(times)))

    def in_form(self, layer: Layer, form: str, ranks: Sequence[tuple[int, ...]]) -> np.ndarray:
        """The same of a layer in another form, at each of these ranks."""
        key = (*kind_of(layer), form, tuple(ranks))
        if key not in self._forms:
            self(layer, 0, "channel")  # raises where the size is not known
            self._forms[key] = form_latencies(self._model, layer, form, ranks) if ranks else np.zeros(0)
        return self._forms[key]


def kind_of(layer: Layer) -> tuple:
    """What the time of a layer depends on: layers with equal ones take equally long."""
    return layer.kind, layer.weight_shape, layer.stride, layer.groups, layer.calls


def _input(layer: Layer, module: Any, batch_size: int) -> torch.Tensor:
    weight = module.weight
    assert layer.calls is not None
    rows, columns = layer.calls[0].input_size
    if layer.kind == "conv":
        shape: tuple[int, ...] = (batch_size, module.in_channels, rows, columns)
    else:
        shape = (batch_size * rows, layer.weight_shape[1])
    return torch.zeros(shape, dtype=weight.dtype, device=weight.device)


def _twins(module: Any, layer: Layer, ranks: list[int], scheme: str) -> list[nn.Module]:
    """The layer at some ranks, all factors views of the same numbers: a large layer fits into memory once."""
    m, n = layer.matrix_shape(scheme)
    one = torch.ones((), dtype=module.weight.dtype, device=module.weight.device)
    numbers = one.new_ones(layer.groups * max(ranks) * max(m, n))
    twins: list[nn.Module] = []
    for rank in ranks:
        factors = Factors(one.expand(m, rank), one.expand(rank, n))
        if layer.kind == "linear":
            # Of transformers' Conv1D the twin computes the same, and so takes as long.
            twin: Any = FactorizedLinear.from_layer(module, factors)
        else:
            twin = FactorizedConv2d.from_layer(module, [factors] * layer.groups, scheme)
        for factor in (twin.left, twin.right):
            factor.data = numbers[: factor.numel()].view(factor.shape)
        twins.append(twin)
    return twins
