"""Why a layer cannot be factorized."""

import dis
from functools import cache
from types import FunctionType

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from lrexplore.linalg.matricization import SCHEMES, matrix_shape
from lrexplore.linalg.rank import break_even_rank
from lrexplore.network.private import looks_only
from lrexplore.nn.conv_same import is_conv_same
from lrexplore.nn.factorized import Factorized
from lrexplore.nn.linear import is_conv1d, matrix_of
from lrexplore.nn.sparse import SparseWeight

SAME_FORWARD = {"timm.layers.linear.Linear", "transformers.models.falcon.modeling_falcon.FalconLinear"}
"""Subclasses that override forward and still compute what their base does."""

SET_UP = ("init", "reset", "load", "resize", "tie", "copy")
"""Words in the names of methods whose writing into weights is over once a model is made."""


_NO_MATRIX = (
    nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase,
)  # fmt: skip


def listed_weight(module: nn.Module) -> Tensor | None:
    """The weight that lists a module: that of a linear layer or convolution, and any matrix or stack of matrices.

    None for modules without: those that only hold others, embeddings, norms, and matrices under another name than
    `weight`, which may as well be tables of positions.
    """
    if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)) or is_conv1d(module):
        return matrix_of(module)
    if isinstance(module, nn.RNNBase):
        return module.weight_ih_l0
    if "torch.ao.nn" in type(module).__module__ and callable(weight := getattr(module, "weight", None)):
        return weight()
    if isinstance(module, (*_NO_MATRIX, Factorized)):
        return None
    held = {name: weight for name, weight in module._parameters.items() if weight is not None}
    if any(map(is_lazy, held.values())):
        return None
    stacks = [weight for weight in held.values() if weight.ndim == 3 and min(weight.shape) > 1]
    matrix = held.get("weight")
    is_matrix = matrix is not None and matrix.ndim == 2 and min(matrix.shape) > 1
    return matrix if is_matrix else next(iter(stacks), None)


def skip_reason(model: nn.Module, name: str, module: nn.Module, calls, *, shared: bool, read: bool) -> str | None:
    """Why the named layer cannot be factorized, as a sentence; None where it can.

    `calls` are its calls in a forward pass (None when no forward worked); `shared` says that another module
    owns the same weight, `read` that other code computes with it in the forward pass.
    """
    if not isinstance(module, (nn.Linear, nn.Conv2d)) and not is_conv1d(module):
        kind, weight = type(module).__name__, listed_weight(module)
        if weight is not None and weight.is_quantized:
            return f"{kind}: it is quantized, and only nn.Linear and nn.Conv2d are factorized"
        if not isinstance(module, nn.modules.conv._ConvNd) and weight is not None and weight.ndim == 3:
            return f"{kind}: {len(weight)} matrices in one weight, and only nn.Linear and nn.Conv2d are factorized"
        if kind == "Conv1D":
            return "Conv1D, not transformers' own, with its matrix transposed: put an nn.Linear in its place first"
        return f"{kind}: only nn.Linear and nn.Conv2d are factorized"
    if isinstance(model.get_submodule(name.rpartition(".")[0]), nn.MultiheadAttention):
        return "inside nn.MultiheadAttention, which reads this weight and does not call the layer"
    if isinstance(module, SparseWeight):
        return "pruned: factors of its weight would not have its zeros. `lr.collapse(model)` forgets the masks"
    if "weight" not in module._parameters or hasattr(type(module), "weight"):
        return "its weight is computed (weight norm, pruning or another parametrization): remove that first"
    if "bias" not in module._parameters or hasattr(type(module), "bias"):
        return "its bias is computed (by a parametrization): remove that first"
    odd = _odd_values(module.weight, anywhere=any(not weight.is_meta for weight in model.parameters()))
    if odd:
        return odd
    if shared:
        return "its weight is shared with another module: factorizing one would untie them"
    own = _own_computation(module) or _of_adapter(model, name)
    if own:
        return own
    if calls is not None and not calls:
        return "the forward pass (evaluation mode) never calls it: its weight is unused, or read elsewhere"
    if read:
        return "its weight is also read by other code in the forward pass, which would go on with another matrix"
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


def _odd_values(weight: Tensor, *, anywhere: bool) -> str | None:
    """Why a weight's values cannot be computed with; `anywhere`: the model has values, so one on meta has lost its own.

    A model that is on the meta device as a whole is looked at for its sizes.
    """
    if weight.is_quantized:
        return f"its weight is quantized ({weight.dtype}): `.dequantize()` gives one that can be"
    if is_traceable_wrapper_subclass(weight):
        return f"its weight is a {type(weight).__name__}, which computes in a way of its own"
    if weight.layout != torch.strided:
        return f"its weight is sparse ({weight.layout}): `.to_dense()` gives one that can be"
    if weight.is_complex():
        return f"its weight is complex ({weight.dtype}): factors are real"
    if not weight.is_floating_point() or weight.element_size() < 2:
        return f"its weight is quantized ({weight.dtype}): a float16 or wider one can be"
    if weight.is_meta and anywhere:
        return "its weight is on the meta device and has no values: load it first"
    return None


def _own_computation(module: nn.Module) -> str | None:
    """Why a layer computes something else than its class' base does with its weight and bias."""
    kind, base = type(module).__name__, _base(module).__name__
    if _overrides_forward(module):
        return f"its class {kind} computes something else than {base}"
    if type(module).__call__ is not nn.Module.__call__ or type(module).__getattr__ is not nn.Module.__getattr__:
        return f"its class {kind} is called in another way than {base}"
    replaced = [method for method in ("forward", "_conv_forward") if method in vars(module)]
    if replaced:
        return f"its `{replaced[0]}` was replaced on this module (by hand, or by a library): take that off first"
    more = {*module._parameters, *module._buffers, *module._modules} - {"weight", "bias"}
    if more:
        return f"it has more than weight and bias ({', '.join(sorted(more))}), which may act on them"
    for kept in ("_forward_hooks", "_forward_pre_hooks"):
        for hook in vars(module)[kept].values():
            if not looks_only(hook):
                text = getattr(hook, "__name__", type(hook).__name__)
                return f"its forward hook `{text}` may change what it computes (it returns a value): remove it first"
    if _written(type(module), "self", frozenset()):
        return f"its class {kind} writes into its weight later, which would be lost"
    return None


def _of_adapter(model: nn.Module, name: str) -> str | None:
    """Why a layer belongs to code that adapts a weight, as LoRA does."""
    above, _, last = name.rpartition(".")
    parent = model.get_submodule(above)
    if last == "base_layer":
        return f"{type(parent).__name__} adapts its weight, and may merge into it: merge that first"
    parts = name.split(".")
    for adapter in [model.get_submodule(".".join(parts[:depth])) for depth in range(len(parts))]:
        if _is_adapter(adapter):
            return f"a matrix of the adapter {type(adapter).__name__}, which may be merged: do so first"
    if name and _written(type(parent), last, frozenset(parent._modules) - {last}):
        return f"{type(parent).__name__}, which holds it, writes into its weight later, which would be lost"
    return None


def _is_adapter(module: nn.Module) -> bool:
    """Whether a module adapts a layer: its `base_layer`, or that of an adapter in it, holds parameters itself."""
    base = module._modules.get("base_layer")
    while base is not None and "base_layer" in base._modules:
        base = base._modules["base_layer"]
    return base is not None and bool(base._parameters)


@cache
def _written(kind: type, child: str, others: frozenset) -> bool:
    """Whether a method of a class, but for those that set up, writes into `.weight` of a child (or a local name's)."""
    classes = [one for one in kind.__mro__ if not one.__module__.startswith("torch.") and one is not object]
    methods = {name: method for one in reversed(classes) for name, method in vars(one).items()}
    return any(
        _writes(method, child, others)
        for name, method in methods.items()
        if isinstance(method, FunctionType) and not any(word in name for word in SET_UP)
    )


def _writes(method: FunctionType, child: str, others: frozenset) -> bool:
    if any(step.opname == "STORE_ATTR" and step.argval == child for step in dis.get_instructions(method)):
        return False  # it puts another module there
    steps = [step for step in dis.get_instructions(method) if step.opname not in ("COPY", "DUP_TOP", "CACHE")]
    for owner, weight, use in zip(steps, steps[1:], steps[2:] + steps[-1:], strict=False):
        if weight.argval != "weight" or not weight.opname.endswith(("_ATTR", "_METHOD")) or owner.argval in others:
            continue
        if weight.opname == "STORE_ATTR":
            if owner.argval == child:
                return True
        elif owner.opname.startswith("LOAD_") and (owner.argval == child or owner.opname.startswith("LOAD_FAST")):
            named = str(use.argval)
            touched = named == "data" or (named.endswith("_") and not named.endswith("__"))
            if touched and (owner.argval != "self" or child == "self"):
                return True
    return False


def _base(module: nn.Module) -> type:
    if is_conv1d(module):
        return type(module)
    return nn.Linear if isinstance(module, nn.Linear) else nn.Conv2d


def _overrides_forward(module: nn.Module) -> bool:
    if is_conv_same(module) or f"{type(module).__module__}.{type(module).__name__}" in SAME_FORWARD:
        return False
    methods = ("forward",) if not isinstance(module, nn.Conv2d) else ("forward", "_conv_forward")
    return any(getattr(type(module), method) is not getattr(_base(module), method) for method in methods)
