"""Relative squared error of attention heads at every rank, those of one attention at a time."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from lrexplore.calibration import Calibration
from lrexplore.calibration.head_inputs import HeadInputs
from lrexplore.init.head_factors import head_errors
from lrexplore.linalg import check_finite, plane_losses
from lrexplore.linalg.products import gram_factors
from lrexplore.network.attention.find_heads import QK, Head, find_heads, head_grams
from lrexplore.network.attention.smaller_heads import HeadMoments
from lrexplore.nn.attention import AttentionHeads, attentions_of, heads_of


def head_curves(
    model: nn.Module, heads: Iterable[Head], calibration: Calibration | None = None, *, fitted: bool = True
) -> dict[str, np.ndarray]:
    """Name of a head -> its error at ranks 1..dimension, float64, never rising.

    What `lr.head_error` says: of the logits (QK) or of the head's output (OV), for white inputs, or with a
    `calibration` of heads on its held-out inputs, `fitted=False` of the truncated SVD that knows nothing of these.
    Under rotary positions an odd rank has the error of the even one below it. Raises ValueError for weights that are
    not finite.
    """
    kinds: dict[tuple[str, str], list[Head]] = {}
    for head in heads:
        kinds.setdefault((head.attention, head.kind), []).append(head)
    errors = {}
    for (name, kind), some in kinds.items():
        attention = heads_of(model.get_submodule(name))
        assert attention is not None  # whoever lists heads has found it
        inputs = None if calibration is None else calibration.heads.get(name)
        by_place = _white(attention, kind) if inputs is None else _real(attention, kind, inputs, fitted)
        for head in some:
            curve = np.minimum.accumulate(by_place[head.place].cpu().numpy())
            errors[head.name] = np.where(curve <= 1e-12, 0.0, curve)
    return errors


def head_energies(model: nn.Module, heads: Iterable[Head], calibration: Calibration | None = None) -> dict[str, float]:
    """Name of a head -> what an error of 1 is of: the mean square of its logits (QK), or of its output (OV).

    Both in the metric of `head_curves`; on white inputs they are comparable within an attention.
    """
    energies = {}
    for head in heads:
        attention = heads_of(model.get_submodule(head.attention))
        assert attention is not None
        inputs = None if calibration is None else calibration.heads.get(head.attention)
        if inputs is None:
            left, right = (gram[head.place] for gram in head_grams(attention, head.kind))
        else:
            moments = inputs.moments(attention, head.kind, head.place)
            left, right = moments.left, moments.right
        energies[head.name] = float((left * right).sum().clamp_min(0))
    return energies


def head_moments(model: nn.Module, calibration: Calibration | None) -> dict[str, HeadMoments]:
    """Name of a head -> the metric that its factors are to be the best in; {} without inputs of heads."""
    inputs = {} if calibration is None else calibration.heads
    attentions = attentions_of(model) if inputs else {}
    return {
        head.name: inputs[head.attention].moments(attentions[head.attention], head.kind, head.place)
        for head in (find_heads(model) if inputs else ())
        if head.attention in inputs
    }


def _white(attention: AttentionHeads, kind: str) -> Tensor:
    for stack in (attention.q, attention.k) if kind == QK else (attention.o, attention.v):
        check_finite(stack.weight)
    return head_errors(*head_grams(attention, kind), attention.planes if kind == QK else None)


def _real(attention: AttentionHeads, kind: str, inputs: HeadInputs, fitted: bool) -> Tensor:
    """(groups, d): the error on held-out inputs of the factors that are the best for those that were fitted."""
    left, right = head_grams(attention, kind)
    if fitted:
        moments = [inputs.moments(attention, kind, place) for place in range(attention.num_groups)]
        left, right = torch.stack([m.left for m in moments]), torch.stack([m.right for m in moments])
    if kind == QK and attention.planes is not None:
        return _by_planes(left, right, inputs, attention.planes)
    first, _, second = gram_factors(left, right)
    size = attention.head_dim
    kept = torch.ones(size, size, dtype=torch.float64).tril()  # row r - 1 keeps the first r columns
    errors = []
    for place in range(attention.num_groups):
        cores = (first[place] * kept[:, None, :]) @ second[place]
        away = torch.eye(size, dtype=torch.float64) - cores
        if kind == QK:
            lost = away.mT @ inputs.held_queries[place] @ away * inputs.held_keys[place]
            total = (inputs.held_queries[place] * inputs.held_keys[place]).sum()
            errors.append(lost.sum((1, 2)) / total.clamp_min(1e-300))
        else:
            errors.append(_output_errors(attention, inputs, away, place))
    curves = torch.stack(errors).clamp_min(0)
    curves[:, -1] = 0  # a head of all its dimensions stays as it is
    return curves


def _by_planes(left: Tensor, right: Tensor, inputs: HeadInputs, planes: Tensor) -> Tensor:
    """Whole planes are kept in the order of what they lose on the fitted inputs; judged on the held-out ones."""
    order = plane_losses(left, right, planes).argsort(dim=-1, descending=True, stable=True)
    losses = plane_losses(inputs.held_queries, inputs.held_keys, planes).gather(-1, order)
    total = losses.sum(-1, keepdim=True).clamp_min(1e-300)
    tails = 1 - torch.cat([torch.zeros_like(total), losses.cumsum(-1) / total], -1)
    return tails.clamp_min(0)[..., torch.arange(1, 2 * len(planes) + 1) // 2]


def _output_errors(attention: AttentionHeads, inputs: HeadInputs, away: Tensor, place: int) -> Tensor:
    """Of one key head, (ranks,); the bias takes up the mean of the inputs that were fitted."""
    share = attention.num_heads // attention.num_groups
    heads = slice(place * share, (place + 1) * share)
    outputs = attention.grouped(attention.o.read().double().cpu())[place]
    grams = outputs @ outputs.mT
    drift = inputs.held_mean[heads] - inputs.mean[heads]
    moment = inputs.held_attended[heads] + drift[:, :, None] * drift[:, None, :]
    lost = sum((away.mT @ gram @ away * held).sum((1, 2)) for gram, held in zip(grams, moment, strict=True))
    total = (grams * inputs.held_attended[heads]).sum()
    return lost / total.clamp_min(1e-300)
