"""How heads start: as drawn, balanced, or as the best smaller heads for those that were drawn."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lrexplore.models.language.separate_attention import PRODUCTS, MultiHead, attentions

HEAD_INITIALIZERS = ("drawn", "balanced", "spectral")


@torch.no_grad()
def initialize_heads(model: nn.Module, head_scale: float, qk_initializer: str, ov_initializer: str) -> None:
    """Leaves every head of freshly drawn attentions max(1, round(head_scale * dimension)) of its dimensions.

    "drawn": the first of them, which is a draw as good as any. "balanced": the same, and then both factors of each
    product share its singular values, orthogonal; the product is what it was (spectral initialization as Khodak et
    al. 2021 published it for attention). "spectral": the best product of that rank for the head of full size, balanced.
    """
    for attention in attentions(model).values():
        size = max(1, round(head_scale * attention.head_dim))
        chosen = dict(zip(PRODUCTS, (qk_initializer, ov_initializer), strict=True))
        factors = {product: _started(attention, product, size, how) for product, how in chosen.items()}
        _resize(attention, size)
        for product, pair in factors.items():
            for mine, value in zip(attention.pairs(product), pair, strict=True):
                mine.copy_(value)


def balanced_factors(
    left: Float[Tensor, "heads m d"], right: Float[Tensor, "heads d n"], rank: int
) -> tuple[Float[Tensor, "heads m r"], Float[Tensor, "heads r n"]]:
    """The best products of rank `rank` for left @ right, each factor with the roots of the singular values.

    The products are not formed: QR of both factors and an SVD of d x d, in float64.
    """
    bases, cores = torch.linalg.qr(left.double()), torch.linalg.qr(right.double().mT)
    u, s, vh = torch.linalg.svd(bases.R @ cores.R.mT)
    roots = s[:, :rank].sqrt()
    new_left = bases.Q @ u[:, :, :rank] * roots[:, None]
    new_right = roots[..., None] * (vh[:, :rank] @ cores.Q.mT)
    return new_left.to(left.dtype), new_right.to(right.dtype)


def _started(attention: MultiHead, product: str, size: int, how: str) -> tuple[Tensor, Tensor]:
    left, right = attention.pairs(product)
    if how == "spectral":
        return balanced_factors(left, right, size)
    left, right = left[:, :, :size].clone(), right[:, :size].clone()
    return balanced_factors(left, right, size) if how == "balanced" else (left, right)


def _resize(attention: MultiHead, size: int) -> None:
    inner, width = attention.num_heads * size, attention.width
    for layer in (attention.q, attention.k, attention.v):
        layer.weight = nn.Parameter(layer.weight.new_empty(inner, width))
        layer.out_features = inner
    attention.o.weight = nn.Parameter(attention.o.weight.new_empty(width, inner))
    attention.o.in_features = inner
    attention.head_dim = size
