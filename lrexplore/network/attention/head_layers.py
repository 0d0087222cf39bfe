"""Attention heads among the layers of a model: what each costs at a rank, and which layers they stand for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from lrexplore.network.attention.find_heads import QK, Head, find_heads
from lrexplore.network.forward.follows import Follows
from lrexplore.network.layers import Layer, Layers
from lrexplore.nn.attention import AttentionHeads, attentions_of

BY_HEADS = "a projection of attention heads, which are factorized one by one here"


@dataclass(frozen=True, kw_only=True)
class HeadLayer(Layer):
    """One product of one attention head as a layer: `kind` is "QK" or "OV", its scheme "qk" or "ov".

    `weight_shape` is (dimension, model_dimension) of the head. Any rank below the dimension saves parameters and
    multiply-adds, in step with the rank. `head_flops`: multiply-adds of one sample in its part of the projections, not
    of the attention itself; None when unknown.
    """

    head: Head
    head_flops: int | None

    @property
    def num_parameters(self) -> int:
        """Numbers in the head's part of the projections, the biases of queries, keys and values among them."""
        return self.head.parameters

    @property
    def flops(self) -> int | None:
        """`head_flops`."""
        return self.head_flops

    @property
    def rank_step(self) -> int:
        """2 under rotary positions, which turn pairs of dimensions."""
        return 2 if self.head.rotary else 1

    def matrix_shape(self, scheme: str = "channel") -> tuple[int, int]:
        """(dimension, model dimension), whatever the scheme; the first is the full rank."""
        return self.head.dimension, max(self.head.dimension, self.head.model_dimension)

    def break_even_rank(self, scheme: str = "channel") -> int:
        """The largest rank below the dimension."""
        return max(self.head.dimension - self.rank_step, 0)

    def parameters_at(self, rank: int, scheme: str = "channel") -> int:
        """Numbers in the head's part of the projections at a rank."""
        return self.head.parameters_at(rank)

    def flops_at(self, rank: int, scheme: str = "channel") -> int | None:
        """Multiply-adds of one sample in the head's part of the projections at a rank."""
        return None if self.head_flops is None else self.head_flops * rank // self.head.dimension


def is_head(layer: Layer) -> bool:
    """Whether a layer is a product of an attention head."""
    return isinstance(layer, HeadLayer)


def scheme_of(layer: Layer, otherwise: str = "channel") -> str:
    """The one scheme of a head, "qk" or "ov"; `otherwise` for any other layer."""
    return layer.kind.lower() if isinstance(layer, HeadLayer) else otherwise


def with_heads(model: nn.Module, layers: Layers) -> Layers:
    """The layers with the model's attention heads after those of their attention.

    Projections of heads that can be factorized have a `skip_reason`: a weight is cut either by heads or as a whole.
    """
    attentions, by_attention = attentions_of(model), {}
    by_name = {layer.name: layer for layer in layers}
    for head in find_heads(model):
        attention = attentions.get(head.attention)
        flops = None if attention is None else _flops(head, attention, by_name, layers.attended)
        by_attention.setdefault(head.attention, []).append(_as_layer(head, flops, layers))
    taken = _projections(attentions, by_attention)
    after = dict.fromkeys(by_attention)  # the last layer of each attention
    for layer in layers:
        inside = [name for name in by_attention if layer.name.startswith(f"{name}." if name else "")]
        if inside:
            after[max(inside, key=len)] = layer.name
    both = Layers(other_flops=layers.other_flops, graph=layers.graph, attended=layers.attended)
    for layer in layers:
        both.append(replace(layer, skip_reason=BY_HEADS) if layer.name in taken else layer)
        for name, last in after.items():
            if last == layer.name:
                both += by_attention[name]
    for name, last in after.items():
        if last is None:
            both += by_attention[name]
    return both


def _as_layer(head: Head, flops: int | None, layers: Layers) -> HeadLayer:
    return HeadLayer(
        name=head.name,
        kind=head.kind,
        weight_shape=(head.dimension, head.model_dimension),
        bias=False,
        follows=Follows(text="softmax" if head.kind == QK else "add"),
        calls=None,
        measured=layers[0].measured if layers else "",
        skip_reason=head.reason,
        head=head,
        head_flops=flops,
    )


def _projections(attentions: Mapping[str, AttentionHeads], heads: Mapping[str, list[HeadLayer]]) -> set[str]:
    """Names of the layers that hold heads which can be factorized."""
    taken = set()
    for name, attention in attentions.items():
        if any(layer.skip_reason is None for layer in heads.get(name, ())):
            taken |= {_below(name, path) for path in attention.architecture.projections}
    return taken


def _below(attention: str, path: str) -> str:
    return f"{attention}.{path}" if attention else path


def _flops(
    head: Head, attention: AttentionHeads, layers: Mapping[str, Layer], attended: Mapping[str, tuple]
) -> int | None:
    """Multiply-adds of one sample in one head's part of both projections; None where their inputs are not known."""
    if head.reason is not None:
        return None
    share = attention.num_heads // attention.num_groups
    parts = (("q", share), ("k", 1)) if head.kind == QK else (("o", share), ("v", 1))
    total = 0
    for part, times in parts:
        positions = _positions(head.attention, attention, part, layers, attended)
        if not positions:
            return None
        stack = getattr(attention, part)
        total += positions * times * head.dimension * stack.weight.shape[0 if stack.transposed else 1]
    return total


def _positions(name: str, attention: AttentionHeads, part: str, layers, attended) -> int | None:
    """How many tokens of one sample a projection is applied to."""
    if isinstance(attention.module, nn.MultiheadAttention):
        calls = attended.get(name, ())
        return sum(queries if part in "qo" else keys for queries, keys in calls) or None
    layer = layers.get(_below(name, getattr(attention.architecture, part)))
    if layer is None or not layer.calls:
        return None
    return sum(call.output_size[0] for call in layer.calls)
