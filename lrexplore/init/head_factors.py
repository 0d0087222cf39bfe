"""Fewer dimensions for one attention head: what its query-key or output-value product loses, and how it loses least.

Everything is said by two d x d matrices a product, `left` and `right`. On white inputs they are the Gram matrices of
the weights: W~_q W~_q^T (with the query bias as a column more: it is part of the product; the key bias is not, for the
softmax does not see it) and W_k W_k^T; W_o^T W_o and W_v W_v^T. Query heads that share a key head add up, which is the
stacked product. On real inputs they are the second moment of the queries and the covariance of the keys about the mean
of their sequence; W_o^T W_o and the covariance of the attended values. The error of the logits, and of the head's
output, is then exactly that of the factors in this metric.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from lrexplore.linalg.products import gram_factors, gram_values, plane_grams, plane_losses


@dataclass(frozen=True, eq=False)
class HeadFactors:
    """What makes a head smaller: left becomes left to_left, right becomes to_right right.

    `to_left` (d, r), `to_right` (r, d); `places` are the dimensions of the head that the r new ones are put at.
    """

    to_left: Float64[Tensor, "d r"]
    to_right: Float64[Tensor, "r d"]
    places: tuple[int, ...]

    @property
    def core(self) -> Float64[Tensor, "d d"]:
        """to_left to_right: what stands between left and right now; the identity where nothing is lost."""
        return self.to_left @ self.to_right


def unchanged(head_dim: int) -> HeadFactors:
    """The factors of a head that stays as it is."""
    eye = torch.eye(head_dim, dtype=torch.float64)
    return HeadFactors(eye, eye, tuple(range(head_dim)))


def head_factors(
    left: Float64[Tensor, "d d"],
    right: Float64[Tensor, "d d"],
    rank: int,
    *,
    moments: tuple[Tensor, Tensor] | None = None,
    planes: Tensor | None = None,
) -> HeadFactors:
    """The best `rank` dimensions of a head, balanced in the weights: `left` and `right` are their Gram matrices.

    Best on white inputs, or for `moments` (left, right) of real ones. With `planes` (of rotary positions) whole planes
    are kept where they were, `rank` // 2 of them, and balanced each by a scale, which the rotation commutes with.
    """
    if planes is not None:
        losses = plane_losses(*(moments or (left, right)), planes)
        kept = losses.argsort(descending=True, stable=True)[: rank // 2].sort().values
        scale = (plane_grams(right, planes) / plane_grams(left, planes).clamp_min(1e-300))[kept] ** 0.25
        scale = torch.where((scale > 0) & scale.isfinite(), scale, 1)
        where, order = torch.cat([planes[kept, 0], planes[kept, 1]]).sort()
        scale = scale.repeat(2)[order]
        columns = torch.eye(len(left), dtype=left.dtype, device=left.device)[:, where]
        return HeadFactors(columns * scale, columns.mT / scale[:, None], tuple(where.tolist()))
    places = tuple(range(rank))
    if moments is None:
        to_left, _, to_right = gram_factors(left, right, rank)
        return HeadFactors(to_left, to_right, places)
    if rank == len(left):
        first_left, first_right = torch.eye(rank).to(left), torch.eye(rank).to(left)
    else:
        first_left, _, first_right = gram_factors(*moments, rank)
    to_left, _, to_right = gram_factors(first_left.mT @ left @ first_left, first_right @ right @ first_right.mT)
    return HeadFactors(first_left @ to_left, to_right @ first_right, places)


def head_errors(
    left: Float64[Tensor, "*heads d d"], right: Float64[Tensor, "*heads d d"], planes: Tensor | None = None
) -> Float64[Tensor, "*heads d"]:
    """Relative squared error of the best head of every rank 1..d in the metric of two Gram or moment matrices.

    With `planes` an odd rank has the error of the even one below it; averaged over the angles, and 1 at rank 1.
    """
    if planes is None:
        losses = gram_values(left, right).square()
    else:
        losses = plane_losses(left, right, planes).sort(-1, descending=True).values
    total = losses.sum(-1, keepdim=True)
    tails = losses.flip(-1).cumsum(-1).flip(-1) - losses
    share = torch.where(total > 0, tails / torch.where(total > 0, total, 1), 0)
    if planes is None:
        return share
    whole = torch.cat([torch.where(total > 0, 1.0, 0.0), share], -1)  # by planes kept
    kept = torch.arange(1, 2 * len(planes) + 1, device=left.device) // 2
    return whole[..., kept]


def core_error(factors: HeadFactors, left: Float64[Tensor, "d d"], right: Float64[Tensor, "d d"]) -> float:
    """Relative squared error of given factors in the metric of two Gram or moments, without rotary positions."""
    away = torch.eye(len(left), dtype=left.dtype, device=left.device) - factors.core.to(left)
    total = float((left * right).sum())
    lost = float(((away.mT @ left @ away) * right).sum())
    return max(lost, 0.0) / total if total > 0 else 0.0
