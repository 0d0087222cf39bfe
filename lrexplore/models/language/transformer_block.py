"""What transformers are stacked of: attention and a network for each token, each after a layer norm (pre-norm)."""

import torch
from torch import Tensor, nn

from lrexplore.models.language.separate_attention import MultiHead

KeysValues = tuple[Tensor, Tensor]


class FeedForward(nn.Sequential):
    """Two linear layers with an activation between them, for each token alone."""

    def __init__(self, width: int, inner: int, activation: type[nn.Module], dropout: float):
        layers = nn.Linear(width, inner), nn.Linear(inner, width)
        super().__init__(layers[0], activation(), nn.Dropout(min(dropout, 0.1)), layers[1])
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


class Block(nn.Module):
    """A layer of a transformer: self-attention, attention to a memory where there is one, and the feed-forward part."""

    def __init__(
        self, width: int, inner: int, num_heads: int, dropout: float, *, activation: type[nn.Module] = nn.ReLU,
        memory: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = MultiHead(width, num_heads)
        if memory:
            self.memory_norm = nn.LayerNorm(width)
            self.memory_attention = MultiHead(width, num_heads)
        self.inner_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, inner, activation, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """The tokens (batch, tokens, width) after this layer."""
        tokens = tokens + self.dropout(self.attention(self.norm(tokens), mask, causal))
        if memory is not None:
            seen = self.memory_attention.keys_values(memory)
            tokens = tokens + self.dropout(self._remember(tokens, seen, memory_mask))
        return tokens + self.dropout(self.feed_forward(self.inner_norm(tokens)))

    def next(
        self, token: Tensor, past: KeysValues | None, seen: KeysValues, memory_mask: Tensor
    ) -> tuple[Tensor, KeysValues]:
        """One more token (batch, 1, width) after this layer, and the keys and values of all so far."""
        normed = self.norm(token)
        keys, values = self.attention.keys_values(normed)
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        token = token + self.attention.attend(normed, (keys, values), None, causal=False)
        token = token + self._remember(token, seen, memory_mask)
        return token + self.feed_forward(self.inner_norm(token)), (keys, values)

    def _remember(self, tokens: Tensor, seen: KeysValues, mask: Tensor | None) -> Tensor:
        return self.memory_attention.attend(self.memory_norm(tokens), seen, mask, causal=False)


class Embedding(nn.Module):
    """Pieces and their places as vectors: learned ones, of unit variance."""

    def __init__(self, num_pieces: int, width: int, longest: int, dropout: float):
        super().__init__()
        self.pieces, self.places = nn.Embedding(num_pieces, width), nn.Embedding(longest, width)
        self.scale = width**0.5
        nn.init.normal_(self.pieces.weight, std=width**-0.5)
        nn.init.normal_(self.places.weight, std=0.1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, pieces: Tensor, first: int = 0) -> Tensor:
        """The vectors of pieces (batch, tokens) of which the first has place `first`."""
        places = self.places.weight[first : first + pieces.shape[1]]
        return self.dropout(self.scale * self.pieces(pieces) + places)
