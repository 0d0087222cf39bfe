"""Which attention heads a model has, each with its two products."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lrexplore.linalg import gram_values
from lrexplore.nn.attention import AttentionHeads, architecture_of, attentions_of, heads_of
from lrexplore.nn.attention.standing import kept_dimensions

QK, OV = "QK", "OV"


@dataclass(frozen=True, kw_only=True)
class Head:
    """One product of one head of a model, in plain values: its query-key ("QK") or its output-value ("OV") product.

    `attention` is the name of the attention in the model, `place` the number of the key head: query heads that share
    one are one head here, by their stacked product. `dimension` is that of the head, `model_dimension` that of the
    inputs of its right factor. `rotary`: only pairs of dimensions can be dropped. `reason` is None where it can be
    factorized.
    """

    name: str
    kind: str
    attention: str
    place: int
    dimension: int
    model_dimension: int
    parameters: int
    rotary: bool
    reason: str | None

    def parameters_at(self, rank: int) -> int:
        """Numbers in the product's factors at a rank."""
        return self.parameters * rank // self.dimension if self.dimension else self.parameters


def unattentions_of(model: nn.Module) -> dict[str, nn.Module]:
    """Name -> module of what is called an attention, holds linear layers of its own, and is in no known attention."""
    attentions = [name for name, module in model.named_modules() if architecture_of(module) is not None]
    within = tuple(f"{name}." for name in attentions if name)
    unknown: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = name in attentions or name.startswith(within) or any(name.startswith(f"{other}.") for other in unknown)
        has_linear = any(isinstance(child, nn.Linear) for child in module.modules() if child is not module)
        above = any(other.startswith(f"{name}." if name else "") for other in attentions)
        if not inside and not above and has_linear and "attention" in type(module).__name__.lower():
            unknown[name] = module
    return unknown


def how_to_register(name: str, module: nn.Module) -> str:
    """The sentence for an attention of an unknown class."""
    kind = type(module).__name__
    return (
        f"`{name}` is a {kind}, an attention of no known class: `lr.register_attention({kind}, q=..., k=..., v=..., "
        "o=..., heads=...)` makes it known (paths of its projections and of its number of heads)"
    )


def find_heads(model: nn.Module) -> list[Head]:
    """Every head of a model's attentions, attention by attention: the query-key products, then the output-value ones.

    Attentions of unknown classes have one row of each kind, named without a number, whose reason says how to make them
    known. Raises TypeError for anything but an nn.Module.
    """
    heads: list[Head] = []
    for name, attention in attentions_of(model).items():
        heads += _heads(name, attention)
    for name, module in unattentions_of(model).items():
        for kind in (QK, OV):
            heads.append(
                Head(
                    name=f"{name}:{kind.lower()}",
                    kind=kind,
                    attention=name,
                    place=0,
                    dimension=0,
                    model_dimension=0,
                    parameters=sum(value.numel() for value in module.parameters()),
                    rotary=False,
                    reason=how_to_register(name, module),
                )  # fmt: skip
            )
    return heads


def _heads(name: str, attention: AttentionHeads) -> list[Head]:
    share = attention.num_heads // max(attention.num_groups, 1)
    if attention.is_narrow:
        kept = dict(zip((QK, OV), kept_dimensions(attention), strict=True))
    heads = []
    for kind, left, right, reason in (
        (QK, attention.q, attention.k, attention.qk_reason),
        (OV, attention.o, attention.v, attention.ov_reason),
    ):
        for place in range(attention.num_groups):
            columns = sum(_columns(stack) * times for stack, times in ((left, share), (right, 1)))
            dimension, why = attention.head_dim, reason
            if attention.is_narrow:
                dimension, why = (
                    len(kept[kind][place]),
                    reason or "its heads are factorized already: pass `lr.collapse(model)`",
                )
            heads.append(
                Head(
                    name=f"{name}:{kind.lower()}.{place}",
                    kind=kind,
                    attention=name,
                    place=place,
                    dimension=dimension,
                    model_dimension=_features(right),
                    parameters=dimension * columns,
                    rotary=kind == QK and bool(attention.architecture.rotary),
                    reason=why,
                )
            )
    return heads


def _features(stack) -> int:
    return stack.weight.shape[0 if stack.transposed else 1]


def _columns(stack) -> int:
    return _features(stack) + (stack.bias is not None)


def head_values(model: nn.Module, head: Head) -> Tensor:
    """The singular values (dimension,) of a head's product, descending, float64."""
    attention = heads_of(model.get_submodule(head.attention))
    assert attention is not None  # whoever has a head has found its attention
    left, right = head_grams(attention, head.kind)
    return gram_values(left[head.place], right[head.place])


@torch.no_grad()
def head_grams(attention: AttentionHeads, kind: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """The Gram matrices (groups, d, d) of the left and the right factor of each head's product, on the CPU.

    Computed in `dtype`; the query bias counts as a column of the left factor.
    """
    left, right = (attention.q, attention.k) if kind == QK else (attention.o, attention.v)
    rows, others = left.read().to(dtype), right.read().to(dtype)
    left_gram, right_gram = rows @ rows.mT, others @ others.mT
    if kind == QK and (bias := left.read_bias()) is not None:
        left_gram = left_gram + bias.to(dtype)[..., None] * bias.to(dtype)[..., None, :]
    return attention.grouped(left_gram).sum(1).cpu(), right_gram.cpu()
