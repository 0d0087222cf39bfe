"""The weights of an attention, head by head, wherever its class keeps them: to read, and to add gradients to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.nn.attention.attention_classes import Architecture, architecture_of, attribute_at, is_active
from lrexplore.nn.attention.narrow import HeadColumns, HeadRows, NarrowHeads
from lrexplore.nn.kinds import check_module

_LINEAR = {
    "torch.nn.modules.linear.Linear",
    "torch.nn.modules.linear.NonDynamicallyQuantizableLinear",
    "timm.layers.linear.Linear",
    "transformers.pytorch_utils.Conv1D",
}


@dataclass(frozen=True, eq=False)
class HeadStack:
    """One projection as one matrix (width, features) a head; `slots` are its rows in `weight`, (rows, features).

    A slice where the heads follow one another; else (heads, width) indices, past the end for rows that are not there.
    `transposed`: the parameter itself is (features, rows).
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    slots: slice | Tensor
    heads: int
    transposed: bool = False
    bias_slots: slice | None = None  # where they are others

    def read(self, tensor: Tensor | None = None) -> Tensor:
        """(heads, width, features) of the weight, or of a tensor of its shape such as its gradient; detached."""
        return self.values((self.weight if tensor is None else tensor).detach())

    def values(self, tensor: Tensor | None = None) -> Tensor:
        """As `read`, in the graph of the weight."""
        matrix = self.weight if tensor is None else tensor
        matrix = matrix.mT if self.transposed else matrix
        if isinstance(self.slots, slice):
            return matrix[self.slots].unflatten(0, (self.heads, -1))
        return F.pad(matrix, (0, 0, 0, 1))[self.slots]

    def read_bias(self) -> Tensor | None:
        """(heads, width) of the bias of these rows; None where there is none."""
        if self.bias is None:
            return None
        slots = self.bias_slots or self.slots
        if isinstance(slots, slice):
            return self.bias.detach()[slots].unflatten(0, (self.heads, -1))
        return F.pad(self.bias.detach(), (0, 1))[slots]

    def add_(self, target: Tensor, values: Tensor, alpha: float = 1.0) -> None:
        """Adds alpha times (heads, width, features) to a tensor of the weight's shape."""
        self._add(target.mT if self.transposed else target, self.slots, values, alpha)

    def add_bias_(self, target: Tensor, values: Tensor, alpha: float = 1.0) -> None:
        """Adds alpha times (heads, width) to a tensor of the bias' shape."""
        self._add(target, self.bias_slots or self.slots, values, alpha)

    def write(self, values: Tensor, bias: Tensor | None = None) -> None:
        """Puts (heads, width, features) and (heads, width) in the place of what is there."""
        with torch.no_grad():
            self.add_(self.weight, values.to(self.weight) - self.read())
            here = self.read_bias()
            if bias is not None and here is not None and self.bias is not None:
                self.add_bias_(self.bias, bias.to(self.bias) - here)

    @staticmethod
    def _add(rows: Tensor, slots: slice | Tensor, values: Tensor, alpha: float) -> None:
        values = values.to(rows.dtype).flatten(0, 1)
        if isinstance(slots, slice):
            rows[slots].add_(values, alpha=alpha)
            return
        slots = slots.flatten()
        there = slots < len(rows)
        rows.index_add_(0, slots[there], values[there], alpha=alpha)


@dataclass(frozen=True, eq=False)
class AttentionHeads:
    """An attention as its heads' matrices. `o` is stacked as (heads, width, out_features), columns become rows.

    `num_groups` key heads serve `num_heads` query heads, in order. `qk_reason` and `ov_reason` say why a product cannot
    be factorized; None where it can.
    """

    module: nn.Module
    architecture: Architecture
    head_dim: int
    num_heads: int
    num_groups: int
    q: HeadStack
    k: HeadStack
    v: HeadStack
    o: HeadStack
    output_bias: nn.Parameter | None
    qk_reason: str | None = None
    ov_reason: str | None = None

    @property
    def planes(self) -> Tensor | None:
        """The dimensions (planes, 2) that turn together under rotary positions; None without these."""
        half = torch.arange(self.head_dim // 2)
        if self.architecture.rotary == "half":
            return torch.stack([half, half + self.head_dim // 2], 1)
        return torch.stack([2 * half, 2 * half + 1], 1) if self.architecture.rotary else None

    def grouped(self, stack: Tensor) -> Tensor:
        """(heads, ...) of queries or outputs as (groups, heads a group, ...)."""
        return stack.unflatten(0, (self.num_groups, -1))

    @property
    def is_narrow(self) -> bool:
        """Whether its heads are factorized already."""
        return isinstance(self.module.get_submodule(self.architecture.o), NarrowHeads)


def heads_of(module: nn.Module, architecture: Architecture | None = None) -> AttentionHeads | None:
    """The heads of a module that is a known attention; None for any other.

    Raises ValueError where the numbers of heads do not divide.
    """
    architecture = architecture or architecture_of(module)
    if architecture is None:
        return None
    num_heads: Any = attribute_at(module, architecture.heads)
    if isinstance(module, nn.MultiheadAttention):
        return _of_multihead(module, architecture)
    layers = {path: module.get_submodule(path) for path in architecture.projections}
    for path, layer in layers.items():
        if not isinstance(layer, NarrowHeads) and (
            f"{type(layer).__module__}.{type(layer).__qualname__}" not in _LINEAR or "weight" not in layer._parameters
        ):
            kind = f"`{path}` is a {type(layer).__name__} and no plain linear layer"
            return _refused(module, architecture, num_heads, kind)
    o_layer: Any = layers[architecture.o]
    if isinstance(o_layer, HeadColumns):
        head_dim = o_layer.head_dim
    else:
        head_dim = _inputs(o_layer) // num_heads
    groups = _num_groups(module, architecture, layers, num_heads, head_dim)
    counts = {"q": num_heads, "k": groups, "v": groups}
    if groups < 1 or num_heads % groups:
        raise ValueError(
            f"The key heads of `{type(module).__name__}` must divide its {num_heads} query heads, got {groups}. "
            "Correct the number of key heads in its configuration."
        )
    stacks, first = {}, dict.fromkeys(layers, 0)
    for part, heads in counts.items():
        path = getattr(architecture, part)
        stacks[part] = _rows(layers[path], first[path], heads, head_dim)
        first[path] += heads
    return AttentionHeads(
        module, architecture, head_dim, num_heads, groups, stacks["q"], stacks["k"], stacks["v"],
        _columns(o_layer, num_heads), o_layer.bias, *_reasons(module, architecture),
    )  # fmt: skip


def attentions_of(model: nn.Module) -> dict[str, AttentionHeads]:
    """Name -> heads of every attention of a known class in a model; one that is at several places is there once.

    Raises ValueError, with its name, for one whose numbers of heads do not divide.
    """
    attentions = {}
    for name, module in check_module(model).named_modules():
        try:
            heads = heads_of(module)
        except ValueError as error:
            raise ValueError(f"`{name}`: {error}") from None
        if heads is not None:
            attentions[name] = heads
    return attentions


def _refused(module: nn.Module, architecture: Architecture, num_heads: int, reason: str) -> AttentionHeads:
    nothing = HeadStack(nn.Parameter(torch.empty(0, 0)), None, slice(0, 0), 1)
    parts = (nothing, nothing, nothing, nothing, None)
    return AttentionHeads(module, architecture, 0, num_heads, num_heads, *parts, reason, reason)


def _reasons(module: nn.Module, architecture: Architecture) -> tuple[str | None, str | None]:
    qk = next((path for path in architecture.normalized if is_active(module, path)), None)
    ov = next((path for path in architecture.between if is_active(module, path)), None)
    return (
        qk and f"its queries and keys are normalized (`{qk}`): no product of weights gives its logits",
        ov and f"`{ov}` acts between the heads and the output: no product of weights gives its output",
    )


def _num_groups(module, architecture: Architecture, layers: dict, num_heads: int, head_dim: int) -> int:
    """Key heads, by the rows of the keys' layer; as many as query heads where that is fused with the queries'."""
    layer = layers[architecture.k]
    sharing = [part for part in ("q", "k", "v") if getattr(architecture, part) == architecture.k]
    if isinstance(layer, HeadRows):
        blocks = len(layer.places)
    else:
        blocks, rest = divmod(_outputs(layer), head_dim)
        if rest:
            raise ValueError(
                f"The keys of `{type(module).__name__}` must fill whole heads of {head_dim}, got {_outputs(layer)} "
                "rows. Correct `heads` or `k` in `lr.register_attention`."
            )
    if "q" in sharing:
        blocks, sharing = blocks - num_heads, [part for part in sharing if part != "q"]
    return blocks // len(sharing)


def _is_transposed(layer: Any) -> bool:
    return type(layer).__name__ == "Conv1D"


def _outputs(layer: Any) -> int:
    return layer.weight.shape[1 if _is_transposed(layer) else 0]


def _inputs(layer: Any) -> int:
    return layer.weight.shape[0 if _is_transposed(layer) else 1]


def _rows(layer: Any, first: int, heads: int, head_dim: int) -> HeadStack:
    if isinstance(layer, HeadRows):
        return HeadStack(layer.rows, layer.shift, layer.slots(first, first + heads), heads)
    rows = slice(first * head_dim, (first + heads) * head_dim)
    return HeadStack(layer.weight, layer.bias, rows, heads, _is_transposed(layer))


def _columns(layer: Any, heads: int) -> HeadStack:
    if isinstance(layer, HeadColumns):
        return HeadStack(layer.columns, None, layer.slots(0, heads), heads, True)
    return HeadStack(layer.weight, None, slice(None), heads, not _is_transposed(layer))


def _of_multihead(module: nn.MultiheadAttention, architecture: Architecture) -> AttentionHeads:
    heads, size = module.num_heads, module.embed_dim
    weights: Sequence[Any] = (module.in_proj_weight,) * 3
    spans = [slice(part * size, (part + 1) * size) for part in range(3)]
    reason = None
    if not module._qkv_same_embed_dim:
        weights = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    if module.bias_k is not None:
        reason = "it adds a key and a value of its own (`add_bias_kv`)"
    elif any(weight is None for weight in weights) or "weight" not in module.out_proj._parameters:
        reason = "its weights are computed (pruning or another parametrization): remove that first"
    if reason:
        return _refused(module, architecture, heads, reason)
    # Weights for other key sizes are apart, their biases in one all the same.
    q, k, v = (
        HeadStack(
            weight, module.in_proj_bias, span if module._qkv_same_embed_dim else slice(0, size), heads, bias_slots=span
        )
        for weight, span in zip(weights, spans, strict=True)
    )
    out: Any = module.out_proj
    return AttentionHeads(
        module, architecture, size // heads, heads, heads, q, k, v,
        HeadStack(out.weight, None, slice(None), heads, True), out.bias,
    )  # fmt: skip
