"""A matrix as a product of two or three factors whose inner dimension may be larger than both its sides."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class DeepFactors:
    """`left` (..., m, r), `middle` (..., r, r) or None, `right` (..., r, n); the axes in front stack several."""

    left: Tensor
    middle: Tensor | None
    right: Tensor

    def product(self) -> Tensor:
        """The matrix (..., m, n)."""
        left = self.left if self.middle is None else self.left @ self.middle
        return left @ self.right

    def squared_norm(self) -> Tensor:
        """|left middle right|_F^2, of a whole stack together, differentiable, from r x r matrices."""
        left = self.left if self.middle is None else self.left @ self.middle
        return ((left.mT @ left) * (self.right @ self.right.mT)).sum()

    def gradients(self) -> tuple[Tensor, ...]:
        """Gradients of half the squared norm for the factors that there are, from the Grams of the outer ones.

        The product is not formed where its sides are longer than r; where r is longer, it is the shorter way.
        """
        left, middle, right = self.left, self.middle, self.right
        rank, (m, n) = left.shape[-1], (left.shape[-2], right.shape[-1])
        if middle is None:
            if rank * (m + n) > m * n:
                matrix = left @ right
                return matrix @ right.mT, left.mT @ matrix
            return left @ (right @ right.mT), (left.mT @ left) @ right
        before, after = left @ middle, middle @ right
        if rank > min(m, n):
            matrix = before @ right
            return matrix @ after.mT, left.mT @ (matrix @ right.mT), before.mT @ matrix
        outer = right @ right.mT
        return left @ (middle @ outer @ middle.mT), (left.mT @ left) @ middle @ outer, (before.mT @ before) @ right


def spread(matrix: Tensor, rank: int, surplus: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Factors (m, rank), (rank, n) whose product is the matrix, with no direction that is zero on a side.

    Directions past min(m, n) are drawn at random, their product `surplus` times the matrix's norm; the others are the
    singular ones, split evenly, of what these leave. Zeros, or a rotation of factors padded with them, would get no
    gradient and stay.
    """
    m, n = matrix.shape
    smaller, extra = min(m, n), rank - min(m, n)
    if extra <= 0:
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        root = s[:rank].sqrt()
        return u[:, :rank] * root, root[:, None] * vh[:rank]
    like = {"dtype": matrix.dtype, "device": matrix.device, "generator": generator}
    left, right = torch.randn(m, extra, **like), torch.randn(extra, n, **like)  # type: ignore[call-overload]
    # rows of unit variance, |left right|_F^2 = m n extra in expectation
    scale = (surplus * float(matrix.norm()) / (m * n * extra) ** 0.5) ** 0.5
    left, right = scale * (n / m) ** 0.25 * left, scale * (m / n) ** 0.25 * right
    first, second = spread(matrix - left @ right, smaller, 0.0, generator)
    return torch.cat([first, left], 1), torch.cat([second, right])
