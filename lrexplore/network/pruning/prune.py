"""Set weights of a model to zero for good, and say what that saves."""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from lrexplore.init.problem import check_generator
from lrexplore.linalg.finite import check_finite
from lrexplore.network.layer_choices import check_names
from lrexplore.network.layers import Layer, find_layers
from lrexplore.network.pruning.scores import METHODS
from lrexplore.network.replace import copied_with
from lrexplore.nn.huggingface import note_in_config
from lrexplore.nn.kinds import check_module
from lrexplore.nn.sparse import SparseConv2d, SparseLinear, SparseWeight

SCOPES = ("global", "layer")
_ONLY_FOR_RANKS = ("depthwise", "too small")  # reasons against a low rank, not against single zeros


@dataclass(frozen=True, kw_only=True)
class PrunedLayer:
    """What became of one layer's weight (its bias stays). `reason` says why it is as it was, or that it is cut off.

    `dead_outputs`: outputs that no weight reaches. Bytes of the weight: as it was, as its non-zeros with a mask of one
    bit a weight, and as non-zeros with 32-bit indices (CSR). `flops_after` counts the non-zeros; on common devices the
    time is that of `flops_before` until very few are left.
    """

    name: str
    weights: int
    non_zeros: int
    density: float
    dead_outputs: int
    bytes_before: int
    bytes_bit_mask: int
    bytes_indices: int
    flops_before: int | None
    flops_after: int | None
    reason: str = ""


def prune(
    model: nn.Module,
    *,
    sparsity: float | None = None,
    method: str = "magnitude",
    scope: str = "global",
    layers: Iterable[str] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    loader: Iterable | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """A copy of `model` with that share of its weights zero, now and through training; `model` itself is untouched.

    `method`: "magnitude", "snip", "grasp" (both need a `loader` of (inputs, labels), often a batch or a few) or
    "random". `scope` "global" compares weights of all layers, "layer" takes the same share of each. `layers` names
    those to prune; all linear layers and convolutions without it. Their number of zeros is exact. What was pruned
    before stays so and counts, so that calls with rising `sparsity` prune step by step. `masks` (layer name -> True
    where a weight is kept) in the place of `sparsity` takes those of another network of the same architecture.

    A layer that loses all its weights is warned of, and `lr.report` names it. That table counts non-zeros, bytes with
    indices, and multiply-adds; `lr.collapse` gives ordinary layers with zeros in them.
    Raises ValueError, before anything is computed, for a sparsity that leaves nothing or is less than there is, and for
    names and masks of another network.

    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> lr.report(lr.prune(model, sparsity=0.9, scope="layer"))[["name", "weights", "non_zeros"]]
      name  weights  non_zeros
    0    0      256         26
    1    2      128         13
    """
    check_module(model)
    check_generator(generator)
    for argument, value, allowed in (("method", method, METHODS), ("scope", scope, SCOPES)):
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"`{argument}` must be one of {', '.join(allowed)}, got {value!r}. Choose one of them.")
    if (sparsity is None) == (masks is None):
        raise ValueError(
            f"One of `sparsity` and `masks` must be given, got {'neither' if masks is None else 'both'}. Use "
            "`sparsity=0.9` to keep a tenth."
        )
    if sparsity is not None and (isinstance(sparsity, bool) or not isinstance(sparsity, Real) or not 0 < sparsity < 1):
        raise ValueError(
            f"`sparsity` must be a share above 0 and below 1, which would leave nothing, got {sparsity!r}. Use 0.9 to "
            "keep a tenth."
        )
    if sparsity is not None and METHODS[method].needs_loader and loader is None:
        raise ValueError(
            f"`loader` must be given for the method {method!r}, got None. Pass batches of (inputs, labels), or use "
            "method='magnitude', which needs none."
        )
    every = find_layers(model)
    names = None if layers is None else [layers] if isinstance(layers, str) else list(layers)
    check_names(every, 1.0, None, layers=dict.fromkeys(names or ()), masks=masks or {})
    reasons = {layer.name: _reason(model, layer, masks if names is None else names) for layer in every}
    chosen = [layer.name for layer in every if reasons[layer.name] is None]
    if not chosen:
        raise ValueError(
            f"`model` must have a linear layer or convolution to prune, got a {type(model).__name__} with none. Pass a "
            "model that has one."
        )
    weights: dict[str, Any] = {name: model.get_submodule(name).weight for name in chosen}
    for name, weight in weights.items():
        check_finite(weight, name)
    if masks is None:
        assert sparsity is not None
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        counts = _counts(model, weights, float(sparsity), scope)  # says what cannot be before anything is computed
        kept = _kept(model, METHODS[method].scores(model, chosen, loader, generator), counts)
    else:
        kept = {name: _checked(name, masks[name], weights[name]) for name in chosen}
    memo: dict[int, Any] = {}
    for name in chosen:
        old: Any = model.get_submodule(name)
        made: Any = SparseConv2d if isinstance(old, nn.Conv2d) else SparseLinear
        memo[id(old)] = made.like(old).adopt(old, kept[name])
    pruned: Any = copied_with(model, chosen, memo)
    pruned.pruning = tuple(_record(layer, weights.get(layer.name), kept.get(layer.name), reasons) for layer in every)
    note_in_config(pruned)
    empty = [record.name for record in pruned.pruning if not record.non_zeros]
    if empty:
        listed = ", ".join(f"`{name}`" for name in empty[:5]) + (" and others" if len(empty) > 5 else "")
        warnings.warn(
            f"No weight is left in {len(empty)} of {len(chosen)} layers, {listed}: what comes after sees nothing of "
            "their inputs. Use scope='layer', or less sparsity.",
            stacklevel=2,
        )
    return pruned


def _reason(model: nn.Module, layer: Layer, named: Iterable[str] | None) -> str | None:
    """Why a layer is left as it is; None where it is pruned. Raises ValueError for a named one that cannot be."""
    module = model.get_submodule(layer.name)
    reason = layer.skip_reason
    if isinstance(module, SparseWeight) or (reason or "").startswith(_ONLY_FOR_RANKS):
        reason = None
    if named is not None and layer.name not in named:
        return "not chosen"
    if reason and named is not None:
        raise ValueError(f"`layers` must name layers that can be pruned, got {layer.name!r}: {reason}. Leave it out.")
    return reason


def _counts(model: nn.Module, weights: Mapping[str, Tensor], sparsity: float, scope: str) -> dict[tuple[str, ...], int]:
    """Groups of layers that are compared -> weights to keep in each."""
    groups = [(name,) for name in weights] if scope == "layer" else [tuple(weights)]
    counts = {}
    for group in groups:
        total = sum(weights[name].numel() for name in group)
        there = sum(_alive(model, name) for name in group)
        count = round((1 - sparsity) * total)
        which = f"{len(group)} layers" if len(group) > 1 else f"`{group[0]}`"
        if not 1 <= count <= there:
            rule, way = f"leave a weight of the {total} in {which}", "Use less."
            if count > there:
                rule, way = f"be at least {1 - there / total:.6g}, which {which} have already", "Use more."
            raise ValueError(f"`sparsity` must {rule}, got {sparsity!r}. {way}")
        counts[group] = count
    return counts


def _alive(model: nn.Module, name: str) -> int:
    module: Any = model.get_submodule(name)
    return module.num_kept if isinstance(module, SparseWeight) else module.weight.numel()


def _kept(model: nn.Module, scores: Mapping[str, Tensor], counts: Mapping[tuple[str, ...], int]) -> dict[str, Tensor]:
    """The masks of the largest scores, exactly as many as counted."""
    masks = {}
    for group, count in counts.items():
        flat = torch.cat([_of_the_alive(model, name, scores[name]).flatten().cpu() for name in group])
        mask = torch.zeros(len(flat), dtype=torch.bool)
        mask[flat.topk(count).indices] = True
        parts = mask.split([scores[name].numel() for name in group])
        masks |= {name: part.view(scores[name].shape) for name, part in zip(group, parts, strict=True)}
    return masks


def _of_the_alive(model: nn.Module, name: str, scores: Tensor) -> Tensor:
    """The scores of a layer, minus infinity where it is pruned. Raises ValueError for those that are no numbers."""
    bad = int((~torch.isfinite(scores)).sum())
    if bad:
        raise ValueError(
            f"`loader` must give finite losses and gradients, got {bad} NaN or infinite scores in `{name}`. Check its "
            "inputs, or use method='magnitude'."
        )
    module: Any = model.get_submodule(name)
    return scores.masked_fill(~module.mask, -torch.inf) if isinstance(module, SparseWeight) else scores


def _checked(name: str, mask: Any, weight: Tensor) -> Tensor:
    """The mask, when it is one for this weight. Raises ValueError otherwise."""
    if not isinstance(mask, Tensor) or mask.shape != weight.shape:
        given = f"the shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        raise ValueError(
            f"`masks` must be those of a network like this one, got {given} for `{name}` of shape "
            f"{tuple(weight.shape)}. Take them from a pruned network of this architecture."
        )
    if mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError(
            f"`masks` must be True or False for each weight, got other values of {mask.dtype} for `{name}`. Compare, "
            "e.g. `weight != 0`."
        )
    return mask.bool()


def _record(layer: Layer, weight: Tensor | None, mask: Tensor | None, reasons: Mapping[str, str | None]) -> PrunedLayer:
    total = torch.Size(layer.weight_shape).numel()
    flops = layer.flops if layer.kind in ("linear", "conv", "SparseLinear", "SparseConv2d") else None
    count, dead, reason, item = total, 0, reasons[layer.name] or "", 4
    if mask is not None and weight is not None:
        count, item = int(mask.sum()), weight.element_size()
        dead = int((~mask.flatten(1).any(1)).sum())
        reason = "cut off: no weight is left" if not count else ""
    values, rows = count * item, layer.weight_shape[0]
    return PrunedLayer(
        name=layer.name, weights=total, non_zeros=count, density=count / total, dead_outputs=dead,
        bytes_before=total * item, bytes_bit_mask=values + -(-total // 8),
        bytes_indices=values + 4 * (count + rows + 1),
        flops_before=flops, flops_after=None if flops is None else flops * count // total, reason=reason,
    )  # fmt: skip
