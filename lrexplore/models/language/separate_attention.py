"""Attention whose heads are products that one can read off: separate projections, no bias, any size of a head."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

PRODUCTS = ("qk", "ov")


class MultiHead(nn.Module):
    """Attention with linear layers `q`, `k`, `v` (num_heads * head_dim, width) and `o` (width, num_heads * head_dim).

    Head h is two products of rank head_dim: q_h^T k_h, whose value at two tokens is the logit, and o_h v_h, what
    a token that is attended to adds. Logits are divided by sqrt(width / num_heads) whatever `head_dim` is, so that a
    head truncated to fewer dimensions gives the truncated product's logits. Weights are drawn from N(0, 1 / width).
    """

    def __init__(self, width: int, num_heads: int, head_dim: int | None = None):
        super().__init__()
        if width % num_heads:
            raise ValueError(
                f"`num_heads` must divide the width {width}, got {num_heads}. Use one of its divisors, such as 4."
            )
        self.width, self.num_heads = width, num_heads
        self.head_dim = head_dim or width // num_heads
        self.scale = (width // num_heads) ** -0.5
        inner = num_heads * self.head_dim
        self.q, self.k, self.v = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, width, bias=False)
        for layer in (self.q, self.k, self.v, self.o):
            nn.init.normal_(layer.weight, std=width**-0.5)

    def pairs(self, product: str) -> tuple[Float[Tensor, "heads m d"], Float[Tensor, "heads d n"]]:
        """Left and right factors of every head's product "qk" or "ov"; views of the parameters."""
        if product == "qk":
            return self._split(self.q.weight).mT, self._split(self.k.weight)
        return self.o.weight.unflatten(1, (self.num_heads, -1)).permute(1, 0, 2), self._split(self.v.weight)

    def parameters_of(self, product: str) -> tuple[nn.Parameter, nn.Parameter]:
        """The two weights that hold the factors of a product."""
        layers = (self.q, self.k) if product == "qk" else (self.o, self.v)
        first, second = (layer.get_parameter("weight") for layer in layers)
        return first, second

    def keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (batch, heads, tokens, head_dim), to be attended to as often as one likes."""
        return self._heads(self.k(tokens)), self._heads(self.v(tokens))

    def attend(self, tokens: Tensor, keys_values: tuple[Tensor, Tensor], mask: Tensor | None, causal: bool) -> Tensor:
        """What the tokens (batch, tokens, width) get; `mask` (batch, 1, 1, keys) is False where nothing is seen."""
        queries = self._heads(self.q(tokens))
        seen = F.scaled_dot_product_attention(queries, *keys_values, attn_mask=mask, is_causal=causal, scale=self.scale)
        return self.o(seen.transpose(1, 2).flatten(2))

    def forward(self, tokens: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Self-attention."""
        return self.attend(tokens, self.keys_values(tokens), mask, causal)

    def extra_repr(self) -> str:
        return f"width={self.width}, num_heads={self.num_heads}, head_dim={self.head_dim}"

    def _split(self, weight: Tensor) -> Tensor:
        return weight.unflatten(0, (self.num_heads, -1))

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


def attentions(model: nn.Module) -> dict[str, MultiHead]:
    """The attentions of a network by name, in their order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, MultiHead)}
