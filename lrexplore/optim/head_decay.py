"""Frobenius decay of what attention heads multiply their weights to, in ordinary and in factorized attentions."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lrexplore.linalg import upcast
from lrexplore.nn.attention import AttentionHeads, HeadStack, attentions_of, heads_of


class HeadDecay:
    """The decay of one attention's heads: |W_q^T W_k|_F^2 of each, |W_o W_v|_F^2 of each, or both.

    Query heads that share a key head count one by one. Biases are left out, and so is the rotation of rotary positions.
    Of weights that are fused with those of a product that is not decayed, such as the values' beside queries and keys,
    the others have plain decay |W|_F^2: all of a fused weight then has one, and needs none from the optimizer.
    A product that is not the attention's form (normalized queries) is not decayed.
    """

    def __init__(self, attention: AttentionHeads, *, qk: bool, ov: bool):
        self.attention = attention
        self.qk, self.ov = qk and attention.qk_reason is None, ov and attention.ov_reason is None

    def weights(self) -> list[nn.Parameter]:
        """The parameters that it decays, each once."""
        return list(dict.fromkeys(stack.weight for stack in self._stacks(self.qk, self.ov)))

    def penalty(self) -> Tensor:
        """The sum of squared norms, differentiable, from d x d Gram matrices."""
        total = [(_gram(left) * _gram(right)).sum() for left, right in self._products(differentiable=True)]
        total += [upcast(stack.values()).square().sum() for stack in self._others()]
        return torch.stack(total).sum()

    @torch.no_grad()
    def gradients(self) -> Iterator[tuple[HeadStack, Tensor]]:
        """Which heads' weights, and the gradient of half the penalty by them, (heads, width, features).

        W_k W_k^T W_q and W_q W_q^T W_k, with products of d x d by d x E only (Khodak et al. 2021, arXiv:2105.01029).
        """
        attention = self._here()
        for stacks, (left, right) in zip(self._pairs(attention), self._products(), strict=True):
            # (groups, heads a group, width, features), and (groups, 1, width, features)
            yield stacks[0], (_gram(right) @ left).flatten(0, 1)
            yield stacks[1], (_gram(left).sum(1) @ right.squeeze(1))
        for stack in self._others():
            yield stack, upcast(stack.read())

    def _products(self, *, differentiable: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        attention = self._here()
        for left, right in self._pairs(attention):
            first, second = (stack.values() if differentiable else stack.read() for stack in (left, right))
            yield attention.grouped(upcast(first)), upcast(second).unsqueeze(1)

    def _pairs(self, attention: AttentionHeads) -> list[tuple[HeadStack, HeadStack]]:
        pairs = [(attention.q, attention.k)] if self.qk else []
        return pairs + ([(attention.o, attention.v)] if self.ov else [])

    def _stacks(self, qk: bool, ov: bool) -> list[HeadStack]:
        attention = self._here()
        return ([attention.q, attention.k] if qk else []) + ([attention.o, attention.v] if ov else [])

    def _others(self) -> list[HeadStack]:
        """Heads that are not decayed as products in weights of which others are."""
        decayed = {id(weight) for weight in self.weights()}
        return [stack for stack in self._stacks(not self.qk, not self.ov) if id(stack.weight) in decayed]

    def _here(self) -> AttentionHeads:
        """The heads, with indices where the weights are now."""
        slots = self.attention.q.slots
        if isinstance(slots, Tensor) and slots.device != self.attention.q.weight.device:
            self.attention = heads_of(self.attention.module, self.attention.architecture) or self.attention
        return self.attention


def head_decays(model: nn.Module, qk: bool | None, ov: bool | None) -> list[HeadDecay]:
    """The decay of every attention of a model that has some; None stands for that of factorized heads only.

    Raises TypeError for switches that are none of True, False, None.
    """
    for name, switch in (("qk", qk), ("ov", ov)):
        if switch is not None and not isinstance(switch, bool):
            raise TypeError(
                f"`{name}` must be True, False, or None for the heads that are factorized, got {switch!r}. Choose one."
            )
    if qk is False and ov is False:
        return []
    decays = []
    for attention in attentions_of(model).values():
        narrow = attention.is_narrow
        decay = HeadDecay(attention, qk=narrow if qk is None else qk, ov=narrow if ov is None else ov)
        if decay.qk or decay.ov:
            decays.append(decay)
    return decays


def _gram(stack: Tensor) -> Tensor:
    return stack @ stack.mT
