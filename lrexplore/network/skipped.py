"""Why a layer cannot be factorized."""

from torch import nn

from lrexplore.linalg.matricization import SCHEMES, matrix_shape
from lrexplore.linalg.rank import break_even_rank
from lrexplore.nn.conv_same import is_conv_same

SAME_FORWARD = {"timm.layers.linear.Linear"}
"""Subclasses that override forward and still compute what their base does."""


def skip_reason(model: nn.Module, name: str, module: nn.Module, calls, *, shared: bool) -> str | None:
    """Why the named layer cannot be factorized, as a sentence; None where it can.

    `calls` are its calls in a forward pass (None when no forward worked); `shared` says that another module
    owns the same weight.
    """
    if not isinstance(module, (nn.Linear, nn.Conv2d)):
        return f"{type(module).__name__}: only nn.Linear and nn.Conv2d are factorized"
    if isinstance(model.get_submodule(name.rpartition(".")[0]), nn.MultiheadAttention):
        return "inside nn.MultiheadAttention, which reads this weight and does not call the layer"
    if "weight" not in module._parameters:
        return "its weight is computed (weight norm, pruning or another parametrization): remove that first"
    if shared:
        return "its weight is shared with another module: factorizing one would untie them"
    if _overrides_forward(module):
        return f"its class {type(module).__name__} computes something else than {_base(module).__name__}"
    if calls is not None and not calls:
        return "the forward pass (evaluation mode) never calls it: its weight is unused, or read elsewhere"
    if isinstance(module, nn.Conv2d) and module.groups > 1 and module.groups == module.in_channels:
        rows, columns = module.out_channels // module.groups, module.weight[0].numel()
        return (
            f"depthwise: each of its {module.groups} groups has one input channel, so its matrix is only "
            f"{rows} x {columns}: no channels are mixed that a low rank could mix cheaper"
        )
    shape = module.weight.shape
    group_shape = (shape[0] // getattr(module, "groups", 1), *shape[1:])
    if not any(break_even_rank(matrix_shape(group_shape, scheme)) for scheme in SCHEMES):
        m, n = matrix_shape(group_shape, "channel")
        return f"too small: even rank 1 of its {m} x {n} matrix saves no parameters"
    return None


def _base(module: nn.Module) -> type:
    return nn.Linear if isinstance(module, nn.Linear) else nn.Conv2d


def _overrides_forward(module: nn.Module) -> bool:
    if is_conv_same(module) or f"{type(module).__module__}.{type(module).__name__}" in SAME_FORWARD:
        return False
    methods = ("forward",) if isinstance(module, nn.Linear) else ("forward", "_conv_forward")
    return any(getattr(type(module), method) is not getattr(_base(module), method) for method in methods)
