"""Singular directions of a matrix, from its Gram matrix where that is accurate and from an SVD where it is not."""

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from lrexplore.linalg.factors import Factors, fit_squares, upcast


class Decomposition:
    """Singular values and directions of a matrix (m, n), good for the first `rank` of them (all by default).

    An eigendecomposition of the smaller Gram matrix costs a fraction of an SVD but squares the condition number.
    It is used only while the last wanted singular value is at least 30 sqrt(eps) of the first; otherwise this
    falls back to `torch.linalg.svd`. Half precision is computed in float32.
    """

    def __init__(self, matrix: Float[Tensor, "m n"], rank: int | None = None):
        self.matrix = upcast(matrix)
        self._left: Tensor | None
        self._right: Tensor | None
        m, n = matrix.shape
        rank = rank or min(m, n)
        if m < n:
            self._gram = self.matrix @ self.matrix.mT
        else:
            self._gram = self.matrix.mT @ self.matrix
        squares, vectors = torch.linalg.eigh(self._gram)
        values = squares.flip(0).clamp_min(0).sqrt()
        good_rank = int((values > _gram_floor(values)).sum())
        if good_rank >= rank:
            vectors = vectors.flip(1)
            self.values = values
            self._left, self._right = (vectors, None) if m < n else (None, vectors.mT)
        else:
            self._left, self.values, self._right = torch.linalg.svd(self.matrix, full_matrices=False)
            good_rank = min(m, n)
        self.good_rank = good_rank

    @cached_property
    def row_gram(self) -> Float[Tensor, "m m"]:
        """Inner products of the rows, (m, m)."""
        if self.matrix.shape[0] < self.matrix.shape[1]:
            return self._gram
        return self.matrix @ self.matrix.mT

    @property
    def numerical_rank(self) -> int:
        """How many singular values stand above rounding: max(m, n) eps times the largest."""
        floor = max(self.matrix.shape) * torch.finfo(self.values.dtype).eps * self.values[0]
        return int((self.values > floor).sum())

    def coordinates(self, rank: int) -> Float[Tensor, "m {rank}"]:
        """Rows of the matrix in the first `rank` right singular directions, (m, rank) = U S.

        Every row is right to its own scale (a row of zeros comes out as zeros), which U S itself would not be.
        """
        if self._right is None:
            assert self._left is not None  # one of the two is there
            return (self.row_gram @ self._left[:, :rank]) / self.values[:rank]
        return self.matrix @ self._right[:rank].mT

    def right(self, rank: int) -> Float[Tensor, "{rank} n"]:
        """The first `rank` right singular directions as rows, (rank, n)."""
        if self._right is not None:
            return self._right[:rank]
        assert self._left is not None
        return (self._left[:, :rank].mT @ self.matrix) / self.values[:rank, None]

    def truncated(self, rank: int) -> Factors:
        """The best rank-`rank` approximation in the Frobenius norm, balanced (Eckart & Young 1936)."""
        root = self.values[:rank].sqrt()
        if self._left is None or self._right is None:
            return Factors(self.coordinates(rank) / root, root[:, None] * self.right(rank))
        return Factors(_alive(self.matrix) * self._left[:, :rank] * root, root[:, None] * self.right(rank))


def truncate(matrix: Float[Tensor, "m n"], rank: int) -> Factors:
    """The best rank-`rank` approximation of a matrix in the Frobenius norm, balanced, in the matrix's dtype."""
    return Decomposition(fit_squares(matrix), rank).truncated(rank).to(matrix.dtype)


def balance_orthonormal(left: Float[Tensor, "m r"], right: Float[Tensor, "r n"]) -> Factors:
    """Balanced factors of `left @ right` for `right` with orthonormal rows.

    Cheaper than `Factors.balanced`: one r x r eigendecomposition of the Gram matrix of `left`, and an SVD of `left`
    only where that would lose its small directions.
    """
    squares, vectors = torch.linalg.eigh(left.mT @ left)
    values = squares.flip(0).clamp_min(0).sqrt()
    if values[-1] > _gram_floor(values):
        vectors = vectors.flip(1)
        left = left @ vectors
        root = torch.linalg.vector_norm(left, dim=0).sqrt()
        return Factors(left / root, root[:, None] * (vectors.mT @ right))
    u, s, vh = torch.linalg.svd(left, full_matrices=False)
    root = s.sqrt()
    return Factors(_alive(left) * u * root, root[:, None] * (vh @ right))


def _gram_floor(values: Tensor) -> Tensor:
    """The smallest singular value that the Gram matrix still gives to three digits; `values` descend."""
    return 30 * torch.finfo(values.dtype).eps ** 0.5 * values[0]


def _alive(matrix: Tensor) -> Tensor:
    """False for rows of zeros, (m, 1): rounding in singular vectors must not give such a neuron a direction."""
    return (matrix != 0).any(1, keepdim=True)


def symmetric_root(values: Float[Tensor, " n"], vectors: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """The root of a positive semidefinite matrix by its eigenpairs; values below 0, which are rounding, count as 0."""
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.mT
