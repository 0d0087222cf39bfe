"""A small BERT (4 layers, width 512, 8 heads; Turc et al. 2019, arXiv:1908.08962), layer norms before each part."""

from torch import Tensor, nn

from lrexplore.models.language.head_initialization import initialize_heads
from lrexplore.models.language.transformer_block import Block, Embedding

PAD = 0
_WIDTH, _INNER, _NUM_HEADS, _NUM_LAYERS, _LONGEST = 512, 2048, 8, 4, 512


class MaskedLanguageModel(nn.Module):
    """Logits of the pieces of a text of which some are masked."""

    def __init__(self, num_pieces: int, dropout: float):
        super().__init__()
        self.embedding = Embedding(num_pieces, _WIDTH, _LONGEST, dropout)
        self.layers = nn.ModuleList(
            Block(_WIDTH, _INNER, _NUM_HEADS, dropout, activation=nn.GELU) for _ in range(_NUM_LAYERS)
        )
        self.norm = nn.LayerNorm(_WIDTH)
        self.output = nn.Linear(_WIDTH, num_pieces)
        nn.init.normal_(self.output.weight, std=_WIDTH**-0.5)
        nn.init.zeros_(self.output.bias)

    def forward(self, text: Tensor, where: Tensor | None = None) -> Tensor:
        """Logits (batch, tokens, pieces); of those at `where` alone (n, pieces)."""
        mask = (text != PAD)[:, None, None]
        tokens = self.embedding(text)
        for layer in self.layers:
            tokens = layer(tokens, mask)
        return self.output(self.norm(tokens if where is None else tokens[where]))


def masked_language_model(
    num_classes: int, *, head_scale: float = 1.0, qk_initializer: str = "drawn", ov_initializer: str = "drawn",
    dropout: float = 0.0,
) -> MaskedLanguageModel:  # fmt: skip
    """A freshly drawn masked language model (torch's global generator)."""
    model = MaskedLanguageModel(num_classes, dropout)
    initialize_heads(model, head_scale, qk_initializer, ov_initializer)
    return model
