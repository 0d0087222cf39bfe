"""What one attention head loses by a smaller rank: of its logits, of its attention weights and of its output."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lrexplore.calibration import Calibration
from lrexplore.calibration.head_inputs import HeadInputs
from lrexplore.init.head_factors import HeadFactors, core_error, head_errors, head_factors
from lrexplore.linalg import plane_losses
from lrexplore.network.attention import choose_head_ranks, find_heads
from lrexplore.network.attention.find_heads import OV, QK, head_grams
from lrexplore.nn.attention import AttentionHeads, heads_of
from lrexplore.nn.attention.attention_classes import attribute_at


@dataclass(frozen=True, kw_only=True)
class HeadError:
    """Errors of one head's smaller product; None where it is not known.

    `logits`: relative squared error of the logits of a query and a key drawn each by itself, without what is constant
    over the keys (QK). `weights`: mean Kullback-Leibler divergence of the attention weights, in nats, over held-out
    queries (QK). `output`: relative squared error of the head's output about its mean (OV), of what it adds to the
    output of the layer (QK).
    """

    logits: float | None = None
    weights: float | None = None
    output: float | None = None


def head_error(model: nn.Module, name: str, rank: int, *, calibration: Calibration | None = None) -> HeadError:
    """The errors of one head at a rank, for the best factors of that rank.

    `name` is one of `lr.heads(model)`. Without a `calibration` for white inputs: logits for a query-key product, output
    for an output-value one. With one, of `lr.calibrate(model, loader, heads=True)`, the factors are the best for its
    inputs, and the errors those on its held-out ones. Attention weights are computed from whole sequences as they came:
    masks other than a causal one are not seen, and under rotary positions or a bias of positions they stay None. Rotary
    logits are averaged over the angles. Raises ValueError for unknown heads, ranks out of range, and a calibration
    without this head.

    >>> layer = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    >>> lr.head_error(layer, ":qk.0", 4).logits
    0.0
    >>> 0 < lr.head_error(layer, ":qk.0", 2).logits < 1
    True
    """
    rank = choose_head_ranks(model, {name: rank})[name]
    head = next(head for head in find_heads(model) if head.name == name)
    attention = heads_of(model.get_submodule(head.attention))
    assert attention is not None
    left, right = (gram[head.place] for gram in head_grams(attention, head.kind))
    planes = attention.planes if head.kind == QK else None
    inputs = None
    if calibration is not None:
        Calibration.require(calibration, model)
        inputs = calibration.heads.get(head.attention)
        if inputs is None:
            raise ValueError(
                f"`calibration` must hold the heads of `{head.attention}`, got one of {len(calibration.heads)} "
                "attentions without it. Use `lr.calibrate(model, loader, heads=True)`."
            )
    if inputs is None:
        error = float(head_errors(left, right, planes)[rank - 1]) if rank < head.dimension else 0.0
        return HeadError(logits=error) if head.kind == QK else HeadError(output=error)
    moments = inputs.moments(attention, head.kind, head.place)
    factors = head_factors(left, right, rank, moments=(moments.left, moments.right), planes=planes)
    if head.kind == OV:
        return HeadError(output=_output_error(attention, inputs, factors, head.place))
    held = inputs.held_queries[head.place], inputs.held_keys[head.place]
    if planes is not None:
        losses = plane_losses(*held, planes)
        kept = torch.isin(planes[:, 0], torch.tensor(factors.places))
        return HeadError(logits=float(losses[~kept].sum() / losses.sum().clamp_min(1e-300)))
    weights, output = _weights_error(attention, inputs, factors, head.place)
    return HeadError(logits=core_error(factors, *held), weights=weights, output=output)


def _output_error(attention: AttentionHeads, inputs: HeadInputs, factors: HeadFactors, place: int) -> float:
    share = attention.num_heads // attention.num_groups
    heads = slice(place * share, (place + 1) * share)
    outputs = attention.grouped(attention.o.read().double().cpu())[place]
    grams = outputs @ outputs.mT
    drift = inputs.held_mean[heads] - inputs.mean[heads]  # the bias takes up the mean of the inputs that were fitted
    moment = inputs.held_attended[heads] + drift[:, :, None] * drift[:, None, :]
    away = torch.eye(attention.head_dim, dtype=torch.float64) - factors.core
    lost = (away.mT @ grams @ away * moment).sum()
    total = (grams * inputs.held_attended[heads]).sum()
    return float(lost.clamp_min(0) / total) if total > 0 else 0.0


def _weights_error(
    attention: AttentionHeads, inputs: HeadInputs, factors: HeadFactors, place: int
) -> tuple[float | None, float | None]:
    """Mean divergence of the weights, and relative squared error of the head's output, on the kept sequences."""
    if attention.architecture.logit_bias or not inputs.q.numel() or len(inputs.q) != len(inputs.k):
        return None, None
    share = attention.num_heads // attention.num_groups
    q = inputs.q[:, place * share : (place + 1) * share].double()
    k, v = (x[:, place : place + 1].double() for x in (inputs.k, inputs.v))
    scaling = attribute_at(attention.module, "scaling") or attribute_at(attention.module, "self.scaling")
    scale = float(scaling) if isinstance(scaling, (int, float)) else attention.head_dim**-0.5
    causal = bool(attention.architecture.causal and attribute_at(attention.module, attention.architecture.causal))

    def log_weights(core: Tensor) -> Tensor:
        logits = q @ core @ k.mT * scale
        if causal:
            logits = logits.masked_fill(torch.ones(logits.shape[-2:]).triu(1).bool(), float("-inf"))
        return logits.log_softmax(-1)

    before, after = log_weights(torch.eye(attention.head_dim).double()), log_weights(factors.core)
    terms = before.exp() * (before - after)
    divergence = torch.where(before.exp() > 0, terms, 0).sum(-1).mean()
    outputs = attention.grouped(attention.o.read().double().cpu())[place]  # (heads a group, d, features)
    whole = before.exp() @ v @ outputs
    lost = (after.exp() - before.exp()) @ v @ outputs
    total = (whole - whole.mean((0, 2), keepdim=True)).square().sum()
    return float(divergence), float(lost.square().sum() / total) if total > 0 else 0.0
