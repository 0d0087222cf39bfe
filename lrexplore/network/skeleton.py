"""A copy of a model that costs nothing: meta tensors for weights."""

from copy import deepcopy
from itertools import chain

from torch import nn


def skeleton(model: nn.Module, *, to_fill: bool = False) -> nn.Module:
    """The model in evaluation mode with meta parameters and buffers, to trace and to run for sizes.

    `to_fill` copies the buffers that are in no state dict, so that loading one makes it whole. Module names and order
    are the model's; the model itself and its training flags are untouched. Raises whatever the model's own deepcopy
    raises.
    """
    memo = {}
    tensors = chain(model.parameters(), model.buffers())
    for tensor in model.state_dict(keep_vars=True).values() if to_fill else tensors:
        data = tensor.detach().to("meta")
        memo[id(tensor)] = nn.Parameter(data, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data
    return deepcopy(model, memo).eval()


def drop_shared_hooks(model: nn.Module, copy: nn.Module) -> None:
    """Takes off the copy what hooks it shares with the model (functions): they would tell their owner of its runs."""
    for module, twin in zip(model.modules(), copy.modules(), strict=True):
        for name, hooks in vars(module).items():
            if name.endswith("_hooks") and isinstance(hooks, dict):
                kept = vars(twin)[name]
                for key in [key for key, hook in hooks.items() if kept.get(key) is hook]:
                    del kept[key]


def why(error: Exception) -> str:
    """The error in one line of at most 160 characters."""
    lines = str(error).strip().splitlines() or [""]
    text = f"{type(error).__name__}: {lines[0]}"
    return text if len(text) <= 160 else text[:157] + "..."
