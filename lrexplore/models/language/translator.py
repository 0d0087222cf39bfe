"""An encoder and a decoder of two layers each: the small transformer of Khodak et al. 2021 for IWSLT'14."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lrexplore.models.language.head_initialization import initialize_heads
from lrexplore.models.language.transformer_block import Block, Embedding, KeysValues

PAD = 0
_WIDTH, _INNER, _NUM_HEADS, _NUM_LAYERS, _LONGEST = 256, 1024, 4, 2, 1024


@dataclass
class Decoding:
    """A translation under way: what the decoder sees of the source, and the keys and values of what it has said."""

    seen: list[KeysValues]
    mask: Tensor
    past: list[KeysValues | None]
    length: int = 0

    def select(self, rows: Tensor) -> None:
        """Goes on with these rows of what was said, each of the same source as before."""
        self.past = [None if one is None else (one[0][rows], one[1][rows]) for one in self.past]


class Translator(nn.Module):
    """Logits of the next piece of a target, given the source and the pieces before."""

    encoder: Any  # lists of blocks
    decoder: Any

    def __init__(self, num_pieces: int, dropout: float):
        super().__init__()
        sizes = (_WIDTH, _INNER, _NUM_HEADS, dropout)
        self.source = Embedding(num_pieces, _WIDTH, _LONGEST, dropout)
        self.target = Embedding(num_pieces, _WIDTH, _LONGEST, dropout)
        self.encoder = nn.ModuleList(Block(*sizes) for _ in range(_NUM_LAYERS))
        self.encoder_norm = nn.LayerNorm(_WIDTH)
        self.decoder = nn.ModuleList(Block(*sizes, memory=True) for _ in range(_NUM_LAYERS))
        self.decoder_norm = nn.LayerNorm(_WIDTH)
        self.output = nn.Linear(_WIDTH, num_pieces, bias=False)
        nn.init.normal_(self.output.weight, std=_WIDTH**-0.5)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """The memory (batch, tokens, width) of sources (batch, tokens), and where it is more than padding."""
        mask = (source != PAD)[:, None, None]
        tokens = self.source(source)
        for block in self.encoder:
            tokens = block(tokens, mask)
        return self.encoder_norm(tokens), mask

    def forward(self, source: Tensor, target: Tensor, where: Tensor | None = None) -> Tensor:
        """Logits (batch, tokens, pieces) of the piece after each of `target`; of those at `where` alone (n, pieces)."""
        memory, mask = self.encode(source)
        tokens = self.target(target)
        for block in self.decoder:  # padding stands at the end, where no piece before it looks
            tokens = block(tokens, causal=True, memory=memory, memory_mask=mask)
        return self.output(self.decoder_norm(tokens if where is None else tokens[where]))

    def begin(self, source: Tensor, copies: int = 1) -> Decoding:
        """A translation of each source, `copies` times side by side, before its first piece."""
        memory, mask = (tensor.repeat_interleave(copies, dim=0) for tensor in self.encode(source))
        seen = [block.memory_attention.keys_values(memory) for block in self.decoder]
        return Decoding(seen, mask, [None] * len(self.decoder))

    def next(self, pieces: Tensor, decoding: Decoding) -> Tensor:
        """Logits (rows, pieces) of what follows the pieces (rows,), which are said now."""
        token = self.target(pieces[:, None], decoding.length)
        for number, block in enumerate(self.decoder):
            past, seen = decoding.past[number], decoding.seen[number]
            token, decoding.past[number] = block.next(token, past, seen, decoding.mask)
        decoding.length += 1
        return self.output(self.decoder_norm(token[:, 0]))


def translator(
    num_classes: int, *, head_scale: float = 1.0, qk_initializer: str = "drawn", ov_initializer: str = "drawn",
    dropout: float = 0.0,
) -> Translator:  # fmt: skip
    """A freshly drawn translator (torch's global generator): width 256, 1024 inside, 4 heads of 64, 2 + 2 layers."""
    model = Translator(num_classes, dropout)
    initialize_heads(model, head_scale, qk_initializer, ov_initializer)
    return model


@torch.no_grad()
def translate(model: Translator, source: Tensor, *, begin: int, end: int, beam: int, most: int) -> list[list[int]]:
    """For every source (batch, tokens) the pieces of its translation, by beam search.

    `beam` translations of each are carried on; a finished one stays. Of those at the end the one with the highest mean
    log-probability of a piece wins (length penalty 1, as in fairseq). At most `most` pieces and `end`.
    """
    rows, device = len(source), source.device
    decoding = model.begin(source, beam)
    said = torch.full((rows * beam, 1), begin, device=device)
    scores = torch.full((rows, beam), -torch.inf, device=device)
    scores[:, 0] = 0.0  # the others are the same yet
    lengths = torch.ones(rows, beam, device=device)
    finished = torch.zeros(rows, beam, dtype=torch.bool, device=device)
    first = beam * torch.arange(rows, device=device)[:, None]
    for place in range(most + 1):
        gains = model.next(said[:, -1], decoding).float().log_softmax(-1).unflatten(0, (rows, beam))
        gains[:, :, PAD] = -torch.inf
        if place == most:  # there is room for the end only
            gains = torch.full_like(gains, -torch.inf).index_copy_(
                2, torch.tensor([end], device=device), gains[:, :, [end]]
            )
        num_pieces = gains.shape[2]
        frozen = torch.full((num_pieces,), -torch.inf, device=device)
        frozen[PAD] = 0.0
        gains = torch.where(finished[:, :, None], frozen, gains)
        scores, best = (scores[:, :, None] + gains).flatten(1).topk(beam, dim=1)
        parents, pieces = best // num_pieces, best % num_pieces
        kept = (first + parents).flatten()
        decoding.select(kept)
        said = torch.cat([said[kept], pieces.flatten()[:, None]], dim=1)
        finished, lengths = finished.gather(1, parents), lengths.gather(1, parents)
        lengths = lengths + (~finished & (pieces != end))
        finished = finished | (pieces == end)
        if finished.all():
            break
    winners = (first[:, 0] + (scores / lengths).argmax(1)).tolist()
    sentences = said[winners, 1:].tolist()
    return [row[: row.index(end)] if end in row else [piece for piece in row if piece != PAD] for row in sentences]
