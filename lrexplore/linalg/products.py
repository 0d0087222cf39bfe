"""Products of two thin factors, as an attention head has them: their spectra and best low ranks, never forming them.

Factors are `left` (..., m, d) and `right` (..., d, n) with d far below m and n; heads come as leading axes. All that
the singular values depend on are the two d x d Gram matrices left^T left and right right^T, and every balanced or
truncated pair of factors is `left @ to_left`, `to_right @ right` with d x r and r x d matrices made of these.

Relative precision of singular value s_i, for eps of the dtype that is computed in and kappa, the condition of the worse
factor: `product_values` about eps (s_1 / s_i)^2, kappa^2 at worst. For float32 that is 1e-6 near the largest value, a
percent at a hundredth of it or less, and all is lost below 3e-4 of it. With `exact=True` (QR of both factors in
float64) 1e-16 kappa, at three times the time.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lrexplore.linalg.factors import upcast

_SINGULAR = 1e-14  # eigenvalues of a float64 Gram matrix below this share of its largest are rounding


def product_values(
    left: Float[Tensor, "*heads m d"], right: Float[Tensor, "*heads d n"], *, exact: bool = False
) -> Float64[Tensor, "*heads d"]:
    """Singular values of left right, descending; d of them, for min(m, n) >= d."""
    if exact:
        core_left = torch.linalg.qr(left.double(), mode="r").R
        core_right = torch.linalg.qr(right.double().mT, mode="r").R
        return torch.linalg.svdvals(core_left @ core_right.mT)
    left, right = upcast(left), upcast(right)
    return gram_values(left.mT @ left, right @ right.mT)


def product_svd(
    left: Float[Tensor, "*heads m d"], right: Float[Tensor, "*heads d n"]
) -> tuple[Float[Tensor, "*heads m d"], Float[Tensor, "*heads d"], Float[Tensor, "*heads d n"]]:
    """The SVD u, s, vh of left right, by QR of both factors and an SVD of d x d; in the dtype of the factors."""
    q_left, core_left = torch.linalg.qr(upcast(left))
    q_right, core_right = torch.linalg.qr(upcast(right).mT)
    u, s, vh = torch.linalg.svd(core_left @ core_right.mT)
    return q_left @ u, s, vh @ q_right.mT


def gram_values(
    left_gram: Float[Tensor, "*heads d d"], right_gram: Float[Tensor, "*heads d d"]
) -> Float64[Tensor, "*heads d"]:
    """Singular values, descending, of a product whose factors have these Gram matrices left^T left, right right^T."""
    root, failed = torch.linalg.cholesky_ex(left_gram)
    if bool(failed.any()):  # a singular one: any root will do
        root = gram_root(left_gram)[0]
    return torch.linalg.eigvalsh(root.mT @ right_gram @ root).flip(-1).clamp_min(0).sqrt().double()


def gram_root(gram: Float[Tensor, "*heads d d"]) -> tuple[Tensor, Tensor]:
    """The symmetric root of a Gram matrix, and the inverse of that on its range."""
    squares, vectors = torch.linalg.eigh(gram)
    squares = squares.clamp_min(0)
    root = squares.sqrt()
    alive = squares > _SINGULAR * squares[..., -1:]
    inverse = torch.where(alive, 1 / torch.where(alive, root, 1), 0)
    return (vectors * root[..., None, :]) @ vectors.mT, (vectors * inverse[..., None, :]) @ vectors.mT


def gram_factors(
    left_gram: Float64[Tensor, "*heads d d"], right_gram: Float64[Tensor, "*heads d d"], rank: int | None = None
) -> tuple[Float64[Tensor, "*heads d r"], Float64[Tensor, "*heads d"], Float64[Tensor, "*heads r d"]]:
    """`to_left`, the singular values, and `to_right`: left to_left and to_right right are balanced, and best of rank r.

    Best in the metric that the Gram matrices are of: |left right - product|_F for left^T left and right right^T; for
    second moments E[q q^T] and E[k k^T] of what two linear maps give, E (q^T k - (to_left^T q)^T (to_right k))^2 of
    independent q and k. Balanced: to_left^T left_gram to_left = to_right right_gram to_right^T, diagonal. The first
    columns are those of a smaller rank.
    """
    rank = rank or left_gram.shape[-1]
    (left_root, left_inverse), (right_root, right_inverse) = gram_root(left_gram), gram_root(right_gram)
    u, s, vh = torch.linalg.svd(left_root @ right_root)
    scale = s[..., :rank].sqrt()
    to_left = left_inverse @ u[..., :rank] * scale[..., None, :]
    return to_left, s, scale[..., None] * (vh[..., :rank, :] @ right_inverse)


def balance_product(
    left: Float[Tensor, "*heads m d"], right: Float[Tensor, "*heads d n"], rank: int | None = None
) -> tuple[Float[Tensor, "*heads m r"], Float[Tensor, "*heads r n"]]:
    """Balanced factors of the best approximation of left right of this rank (d by default: the product itself)."""
    wide_left, wide_right = left.double(), right.double()
    to_left, _, to_right = gram_factors(wide_left.mT @ wide_left, wide_right @ wide_right.mT, rank)
    return (wide_left @ to_left).to(left.dtype), (to_right @ wide_right).to(right.dtype)


def plane_grams(gram: Float[Tensor, "*heads d d"], planes: Tensor) -> Float[Tensor, "*heads planes"]:
    """Traces of the 2 x 2 diagonal blocks of a Gram matrix, one a plane; `planes` (planes, 2) holds its dimensions."""
    return gram.diagonal(dim1=-2, dim2=-1)[..., planes].sum(-1)


def plane_losses(
    left_gram: Float[Tensor, "*heads d d"], right_gram: Float[Tensor, "*heads d d"], planes: Tensor
) -> Float[Tensor, "*heads planes"]:
    """What each plane adds to the mean of |sum_p left_p R(angle_p) right_p|_F^2 over uniform, independent angles.

    (|A_p|^2 + |A_p^J|^2) / 2 with A_p the plane's product and A_p^J the one with a quarter turn between; that sum is
    the product of the two traces, for J G J^T = trace(G) - G of a 2 x 2 Gram matrix G. The cross terms average to 0.
    """
    return plane_grams(left_gram, planes) * plane_grams(right_gram, planes) / 2
