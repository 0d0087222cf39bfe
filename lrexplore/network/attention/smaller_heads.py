"""Models whose attention heads have fewer dimensions, and back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lrexplore.init.head_factors import HeadFactors, head_factors, unchanged
from lrexplore.linalg import check_finite
from lrexplore.network.attention.find_heads import OV, QK, Head, find_heads, head_grams
from lrexplore.network.private import copy_hooks, copy_with
from lrexplore.nn.attention import AttentionHeads, FactorizedMultiheadAttention, attentions_of, heads_of
from lrexplore.nn.attention.narrow import NarrowHeads
from lrexplore.nn.attention.standing import standing_modules, tell_width
from lrexplore.nn.huggingface import note_in_config


@dataclass(frozen=True, eq=False)
class HeadMoments:
    """What real inputs are to one product of a head: the metric (left, right) (d, d), in which its error is measured.

    QK: second moment of the queries, covariance of the keys about the mean of their sequence. OV: W_o^T W_o summed over
    the query heads, covariance of the attended values; `mean` (heads a key head, d) is their mean.
    """

    left: Tensor
    right: Tensor
    mean: Tensor | None = None


def smaller_heads(
    model: nn.Module,
    ranks: Mapping[str, int],
    moments: Mapping[str, HeadMoments] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> nn.Module:
    """A copy of `model` whose named heads have these ranks, each the best of its rank and balanced; the others stay.

    Best for white inputs, or for the `moments` of real ones by the names of heads. What the value bias (or the mean of
    the attended values) loses is added to the bias of the output, which one without then gets. Raises ValueError for
    weights that are NaN or infinite.
    """
    heads = {head.name: head for head in find_heads(model)}
    by_attention: dict[str, list[Head]] = {}
    for name in ranks:
        by_attention.setdefault(heads[name].attention, []).append(heads[name])
    attentions = attentions_of(model)
    memo: dict[int, Any] = {}
    for done, (name, chosen) in enumerate(by_attention.items()):
        if progress:
            progress(done, len(by_attention), name)
        factors = _factors(attentions[name], chosen, ranks, moments or {})
        memo.update(_filled(attentions[name], *factors, chosen, moments or {}))
    if progress:
        progress(len(by_attention), len(by_attention), "")
    new = copy_with(model, memo)
    for name in by_attention:
        tell_width(new.get_submodule(name))
    for name, module in model.named_modules():
        if isinstance(memo.get(id(module)), (NarrowHeads, FactorizedMultiheadAttention)):
            copy_hooks(module, new.get_submodule(name), memo)
    note_in_config(new)
    return new


def with_called_projections(twin: nn.Module) -> nn.Module:
    """A private copy whose torch attentions call their projections, with equal outputs; changed in place."""
    for name, attention in list(attentions_of(twin).items()):
        if not isinstance(attention.module, nn.MultiheadAttention) or not attention.head_dim:
            continue
        whole = [unchanged(attention.head_dim) for _ in range(attention.num_groups)]
        [new] = _filled(attention, whole, whole, [], {}).values()
        if not name:
            return new
        for parent in twin.modules():
            for key, child in parent._modules.items():
                if child is attention.module:
                    parent._modules[key] = new
    return twin


def _factors(
    attention: AttentionHeads, chosen: list[Head], ranks: Mapping[str, int], moments: Mapping[str, HeadMoments]
) -> tuple[list[HeadFactors], list[HeadFactors]]:
    """The factors of every key head's two products."""
    factors = {kind: [unchanged(attention.head_dim) for _ in range(attention.num_groups)] for kind in (QK, OV)}
    grams = {}
    for head in chosen:
        if head.kind not in grams:
            for stack in (attention.q, attention.k) if head.kind == QK else (attention.o, attention.v):
                check_finite(stack.weight, head.attention)
            grams[head.kind] = head_grams(attention, head.kind)
        left, right = (gram[head.place] for gram in grams[head.kind])
        moment = moments.get(head.name)
        factors[head.kind][head.place] = head_factors(
            left,
            right,
            ranks[head.name],
            moments=None if moment is None else (moment.left.double().cpu(), moment.right.double().cpu()),
            planes=attention.planes if head.kind == QK else None,
        )
    return factors[QK], factors[OV]


@torch.no_grad()
def _filled(
    attention: AttentionHeads, qk: list[HeadFactors], ov: list[HeadFactors], chosen: list[Head],
    moments: Mapping[str, HeadMoments],
) -> dict[int, nn.Module]:  # fmt: skip
    """What stands for the modules of an attention, filled with its values."""
    share = attention.num_heads // attention.num_groups
    change = _output_change(attention, ov, chosen, moments)
    new = standing_modules(
        attention,
        [f.places for f in qk],
        [f.places for f in ov],
        output_bias=attention.output_bias is not None or change is not None,
    )
    twin = heads_of(*_with(attention, new))
    assert twin is not None
    many = {
        "q": [f.to_left.mT for f in qk for _ in range(share)],
        "k": [f.to_right for f in qk],
        "v": [f.to_right for f in ov],
        "o": [f.to_left.mT for f in ov for _ in range(share)],
    }
    for part, maps in many.items():
        old, stack = getattr(attention, part), getattr(twin, part)
        rows, bias = old.read().double(), old.read_bias()
        size = stack.read().shape[1]
        whole = torch.zeros(len(maps), size, attention.head_dim, dtype=torch.float64)
        for head, small in enumerate(maps):
            places = (qk if part in "qk" else ov)[head // (share if part in "qo" else 1)].places
            # A head of another width: its places within it are its first ones, but for rotary planes, which stay.
            whole[head, list(places)] = small
        whole = whole.to(rows.device)
        stack.write(whole @ rows, None if bias is None else (whole @ bias.double()[..., None]).squeeze(-1))
    if twin.output_bias is not None:
        here = 0 if attention.output_bias is None else attention.output_bias.detach()
        there = 0 if change is None else change.to(twin.output_bias)
        twin.output_bias.copy_(here + there)
    trainable = attention.q.weight.requires_grad
    for module in new.values():
        module.requires_grad_(trainable)
    return new


def _output_change(
    attention: AttentionHeads, ov: list[HeadFactors], chosen: list[Head], moments: Mapping[str, HeadMoments]
) -> Tensor | None:
    """What smaller heads take off the mean of the output, to be added to its bias; None where that is nothing."""
    bias, outputs = attention.v.read_bias(), attention.grouped(attention.o.read().double())
    change = None
    for head in chosen:
        factors = ov[head.place]
        if head.kind != OV or len(factors.places) == attention.head_dim:
            continue
        moment = moments.get(head.name)
        if moment is not None and moment.mean is not None:
            mean = moment.mean.double()
        elif bias is not None:
            mean = bias[head.place].double().expand(outputs.shape[1], -1)
        else:
            continue
        away = torch.eye(attention.head_dim, dtype=torch.float64) - factors.core
        lost = torch.einsum("hde,df,hf->e", outputs[head.place], away.to(outputs), mean.to(outputs))
        change = lost if change is None else change + lost
    return change


def _with(attention: AttentionHeads, new: dict[int, nn.Module]) -> tuple[nn.Module, Any]:
    """A module as the attention will be, for its stacks only: the new projections at their paths."""
    if id(attention.module) in new:
        return new[id(attention.module)], None
    return _Standin(attention, new), attention.architecture


class _Standin(nn.Module):
    """The attention with other modules at the paths of its projections; it is never run."""

    def __init__(self, attention: AttentionHeads, new: dict[int, nn.Module]):
        super().__init__()
        vars(self)["_attention"] = attention.module
        vars(self)["_at"] = {
            path: new[id(attention.module.get_submodule(path))] for path in attention.architecture.projections
        }

    def get_submodule(self, target: str) -> nn.Module:
        return vars(self)["_at"][target]

    def __getattr__(self, name: str):
        return getattr(vars(self)["_attention"], name)


@torch.no_grad()
def balance_heads(model: nn.Module, *, qk: bool = True, ov: bool = True) -> nn.Module:
    """The model itself, its heads' factors balanced in place: the products stay, W_q W_q^T = W_k W_k^T, diagonal.

    What "spectral initialization" of attention is in Khodak et al. 2021 (arXiv:2105.01029): their factors come from an
    SVD of a product that has the head's rank already, so nothing is truncated. Under rotary positions each plane is
    balanced by a scale. The key bias goes along, the value bias too.
    """
    for attention in attentions_of(model).values():
        for kind, wanted, reason in ((QK, qk, attention.qk_reason), (OV, ov, attention.ov_reason)):
            if not wanted or reason or attention.is_narrow:
                continue
            planes = attention.planes if kind == QK else None
            lefts, rights = head_grams(attention, kind)
            factors = [
                head_factors(left, right, attention.head_dim, planes=planes)
                for left, right in zip(lefts, rights, strict=True)
            ]
            share = attention.num_heads // attention.num_groups
            first = torch.stack([f.to_left.mT for f in factors for _ in range(share)])
            second = torch.stack([f.to_right for f in factors])
            stacks = (attention.q, attention.k) if kind == QK else (attention.o, attention.v)
            for stack, change in zip(stacks, (first, second), strict=True):
                rows, bias = stack.read().double(), stack.read_bias()
                change = change.to(rows)
                stack.write(change @ rows, None if bias is None else (change @ bias.double()[..., None]).squeeze(-1))
    return model


def collapse_heads(model: nn.Module) -> dict[int, nn.Module]:
    """Id of every module that stands for a projection of heads -> the ordinary module of equal outputs."""
    whole = {id(m): m for m in model.modules() if isinstance(m, FactorizedMultiheadAttention)}
    within = {id(part) for module in whole.values() for part in module.modules()}
    parts = {id(m): m for m in model.modules() if isinstance(m, NarrowHeads) and id(m) not in within}
    return {key: module.collapse() for key, module in (whole | parts).items()}
