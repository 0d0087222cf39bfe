"""nn.MultiheadAttention with heads of their own ranks, narrower queries and keys than values where that is so."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.nn.attention.narrow import HeadColumns, HeadRows


class _OwnForward(Tensor):
    """A tensor that torch's Transformer layers take for one of a library of its own.

    They then leave alone the kernel that reads `in_proj_weight`, and hand no nested tensors to the attention.
    """


class FactorizedMultiheadAttention(nn.Module):
    """Stands for an `nn.MultiheadAttention`; called as it is, also inside torch's own Transformer layers.

    `q`, `k`, `v` are `HeadRows`, `o` is `HeadColumns`: head h has `qk_ranks[h]` dimensions of queries and keys and
    `ov_ranks[h]` of values. The scale of the logits stays 1 / sqrt(embed_dim / num_heads).

    >>> layer = lr.factorize(torch.nn.MultiheadAttention(16, 4), heads={":qk.0": 2, ":ov.3": 1})
    >>> layer.qk_ranks, layer.ov_ranks
    ((2, 4, 4, 4), (4, 4, 4, 1))
    """

    _qkv_same_embed_dim = False

    def __init__(
        self, embed_dim: int, num_heads: int, qk_places: Sequence[Sequence[int]], ov_places: Sequence[Sequence[int]], *,
        dropout: float = 0.0, bias: bool = True, out_bias: bool = True, add_zero_attn: bool = False,
        kdim: int | None = None, vdim: int | None = None, batch_first: bool = False, device: Any = None,
        dtype: torch.dtype | None = None,
    ):  # fmt: skip
        super().__init__()
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.dropout, self.add_zero_attn, self.batch_first = dropout, add_zero_attn, batch_first
        qk_width, ov_width = max(map(len, qk_places)), max(map(len, ov_places))
        kind: dict[str, Any] = {"head_dim": self.head_dim, "device": device, "dtype": dtype}
        self.q = HeadRows(embed_dim, qk_places, width=qk_width, bias=bias, **kind)
        self.k = HeadRows(self.kdim, qk_places, width=qk_width, bias=bias, **kind)
        self.v = HeadRows(self.vdim, ov_places, width=ov_width, bias=bias, **kind)
        self.o = HeadColumns(embed_dim, ov_places, width=ov_width, bias=out_bias, **kind)

    @property
    def qk_ranks(self) -> tuple[int, ...]:
        """The rank of each head's query-key product."""
        return tuple(map(len, self.q.places))

    @property
    def ov_ranks(self) -> tuple[int, ...]:
        """The rank of each head's output-value product."""
        return tuple(map(len, self.v.places))

    @property
    def in_proj_weight(self) -> Tensor:
        """No weight: keeps torch's layers from their kernel for ordinary attention."""
        return torch.empty(0).as_subclass(_OwnForward)

    @property
    def in_proj_bias(self) -> Tensor:
        """As `in_proj_weight`."""
        return torch.empty(0)

    @property
    def out_proj(self) -> HeadColumns:
        """The output projection under the name it has in an ordinary attention."""
        return self.o

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """Output and, with `need_weights`, the attention weights; arguments and shapes as nn.MultiheadAttention."""
        batched = query.ndim == 3
        if not batched:
            query, key, value = (x.unsqueeze(0) for x in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        if is_causal and attn_mask is None:
            raise RuntimeError("Need attn_mask if specifying the is_causal hint.")  # torch's own words
        q, k, v = self._split(self.q(query)), self._split(self.k(key)), self._split(self.v(value))
        mask = self._mask(attn_mask, key_padding_mask, q)
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
            mask = None if mask is None else F.pad(mask, (0, 1))
        scale, dropout = self.head_dim**-0.5, self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            logits = (q * scale) @ k.mT
            weights = (logits if mask is None else logits + mask).softmax(-1)
            weights = F.dropout(weights, dropout) if dropout else weights
            heads = weights @ v
        else:
            heads = F.scaled_dot_product_attention(q, k, v, mask, dropout, scale=scale)
        output = self.o(heads.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return output.squeeze(0), None if weights is None else weights.squeeze(0)
        return output if self.batch_first else output.transpose(0, 1), weights

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _mask(self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor) -> Tensor | None:
        """Both masks as numbers to add to the logits (batch, heads, queries, keys)."""
        masks = []
        if attn_mask is not None:
            masks.append(attn_mask.unflatten(0, (-1, self.num_heads)) if attn_mask.ndim == 3 else attn_mask)
        if key_padding_mask is not None:
            masks.append(key_padding_mask[:, None, None, :])
        numbers = [
            torch.zeros_like(mask, dtype=q.dtype).masked_fill(mask, float("-inf")) if mask.dtype == torch.bool else mask
            for mask in masks
        ]
        return sum(numbers[1:], numbers[0]).to(q.dtype) if numbers else None

    def collapse(self) -> nn.MultiheadAttention:
        """The ordinary attention with the same outputs."""
        bias = self.q.shift is not None
        layer: Any = nn.MultiheadAttention(
            self.embed_dim, self.num_heads, self.dropout, bias, add_zero_attn=self.add_zero_attn, kdim=self.kdim,
            vdim=self.vdim, batch_first=self.batch_first, device="meta",
        )  # fmt: skip
        q, k, v = (part.collapse() for part in (self.q, self.k, self.v))
        if layer._qkv_same_embed_dim:
            layer.in_proj_weight = nn.Parameter(torch.cat([part.weight.detach() for part in (q, k, v)]))
        else:
            layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight = q.weight, k.weight, v.weight
        if bias:
            layer.in_proj_bias = nn.Parameter(torch.cat([part.bias.detach() for part in (q, k, v)]))
        output = self.o.collapse()
        layer.out_proj.weight = output.weight
        layer.out_proj.bias = output.bias
        for parameter in layer.parameters():
            parameter.requires_grad_(self.q.rows.requires_grad)
        return layer.train(self.training)
