"""How factorized layers compute their output: by the two factors, or by the product of them, whichever is faster.

left (right x) takes r (m + n) multiply-adds a position where (left right) x takes m n, but it also moves r numbers
more a position and starts twice as many operations. Where a layer's time is arithmetic, the factors win; where it
is memory (1 x 1 kernels, small layers, fast devices), one operation by the product does. Parameters, gradients,
decay and optimizer are those of the factors either way.
"""

from torch import nn

from lrexplore.nn.kinds import factorized_layers

EXECUTIONS = ("factors", "product")


def set_execution(model: nn.Module, execution: str | dict[str, str]) -> None:
    """Sets how the factorized layers of `model` compute: one of "factors", "product" for all, or layer name -> one.

    Layers that a dict leaves out stay as they are. Raises ValueError, before anything changes, for other names.

    >>> small = lr.factorize(torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)), rank_scale=0.25)
    >>> lr.set_execution(small, {"0": "product"})
    >>> [layer.execution for layer in small]
    ['product', 'factors']
    """
    layers = factorized_layers(model)
    if not isinstance(execution, str | dict):
        raise TypeError(
            f"`execution` must be a word or a dict of layer name -> word, got a {type(execution).__name__}. Use one of "
            f"{', '.join(EXECUTIONS)}."
        )
    for value in [execution] if isinstance(execution, str) else execution.values():
        if not isinstance(value, str) or value not in EXECUTIONS:
            raise ValueError(f"`execution` must be one of {', '.join(EXECUTIONS)}, got {value!r}. Choose one of them.")
    chosen = dict.fromkeys(layers, execution) if isinstance(execution, str) else execution
    for name in chosen:
        if name not in layers:
            raise ValueError(f"`execution` must name factorized layers, got {name!r}. `lr.report(model)` lists them.")
    for name, value in chosen.items():
        layers[name].execution = value
