"""Which way of computing is faster for each factorized layer here: by its two factors, or by their product."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lrexplore.linalg.rank import check_size
from lrexplore.network.batches import example_inputs, run_model
from lrexplore.network.private import private_copy
from lrexplore.network.timing import paired_latency_ms
from lrexplore.nn.execution import EXECUTIONS, set_execution
from lrexplore.nn.kinds import factorized_layers

_CALLS_ON_GPU = 10


def choose_execution(model: nn.Module, example_input, *, training: bool = True, num_rounds: int = 7):
    """Measures both ways in every factorized layer, sets the faster one, and returns the times as a DataFrame.

    `example_input` is a batch as the model will see it (size, dtype, device, memory format), a tuple or a dict of the
    forward's arguments, or an item of a loader. `training` counts forward and backward pass, else the forward pass
    alone. Call it under the autocast that the model will run under. Each layer is measured by itself, on random inputs
    of the size it sees; times are medians of `num_rounds` in turns, so layers where both are equally fast may come out
    either way. For prediction alone compare with `lr.collapse`, which forms the products once.

    Columns: `name`, `factors_ms`, `product_ms` (one call, all positions of the batch), `execution`. Layers that the
    forward pass does not reach are left out and left alone. Neither weights nor running statistics change.

    >>> small = lr.factorize(torch.nn.Sequential(torch.nn.Linear(8, 8)), rank_scale=0.25)
    >>> times = lr.choose_execution(small, torch.randn(4, 8))
    >>> times["execution"][0] == small[0].execution
    True
    """
    import pandas as pd  # slow to import, and only tables need it

    check_size(num_rounds, "num_rounds")
    twin = private_copy(model)
    layers = factorized_layers(twin)
    measured: dict[tuple, list[float]] = {}
    rows = []
    for name, inputs in _inputs(twin, layers, example_input).items():
        times = [0.0, 0.0]
        for like in inputs:
            key = _key(layers[name], like)
            if key not in measured:
                measured[key] = _times_ms(layers[name], like, training, num_rounds)
            times = [a + b for a, b in zip(times, measured[key], strict=True)]
        rows.append((name, *times, EXECUTIONS[times[1] < times[0]]))
    set_execution(model, {name: execution for name, *_, execution in rows})
    return pd.DataFrame(rows, columns=["name", "factors_ms", "product_ms", "execution"])


def _inputs(model: nn.Module, layers: dict[str, nn.Module], example_input) -> dict[str, list[Tensor]]:
    """What each layer gets in one forward pass, as tensors of the same layout on the meta device."""
    seen: dict[str, list[Tensor]] = {}

    def record(name: str) -> Callable:
        def hook(module, args, keywords):
            seen.setdefault(name, []).append(_described(args[0] if args else keywords["input"]))

        return hook

    inputs = example_inputs(example_input, model)
    hooks = [module.register_forward_pre_hook(record(name), with_kwargs=True) for name, module in layers.items()]
    try:
        with torch.no_grad():
            run_model(model, inputs, name="example_input")
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _described(x: Tensor) -> Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")


def _key(layer: nn.Module, like: Tensor) -> tuple:
    """What the time of a layer depends on."""
    options = {name: value for name, value in vars(layer).items() if not name.startswith("_") and name != "execution"}
    return type(layer), repr(sorted(options.items())), layer.left.shape, like.shape, like.stride(), like.dtype


def _times_ms(layer: nn.Module, like: Tensor, training: bool, num_rounds: int) -> list[float]:
    """Milliseconds by the factors and by the product."""
    device = layer.left.device
    generator = torch.Generator(device).manual_seed(0)
    x = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=device)
    x.normal_(generator=generator).requires_grad_(training)
    wanted = [x, *(parameter for parameter in layer.parameters() if parameter.requires_grad)]
    mine = layer.execution

    def run(execution: str) -> None:
        layer.execution = execution
        out = layer(x)
        if training:
            torch.autograd.grad(out, wanted, out)

    calls = _CALLS_ON_GPU if device.type != "cpu" else 1
    try:
        return paired_latency_ms(
            [lambda way=way: run(way) for way in EXECUTIONS], device, num_rounds, num_calls=calls, gradients=training
        )
    finally:
        layer.execution = mine
