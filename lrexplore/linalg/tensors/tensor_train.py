"""Tensor train of a kernel: a chain over input channels, rows, columns and output channels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from lrexplore.linalg.tensors.kernel_factors import KernelFactors, brought_to_size, leading


@dataclass(frozen=True, eq=False)
class TrainFactors(KernelFactors):
    """`left` (c_out, r3), `columns` (r3, r2, k_w), `rows` (r2, r1, k_h), `right` (r1, c_in); `ranks` is (r1, r2, r3).

    Four convolutions: 1 x 1 by `right`, k_h x 1 by `rows`, 1 x k_w by `columns`, 1 x 1 by `left`.
    """

    left: Tensor
    columns: Tensor
    rows: Tensor
    right: Tensor
    bias: Tensor | None = None
    note: str = ""

    form: ClassVar[str] = "tt"
    num_ranks: ClassVar[int] = 3
    positions: ClassVar[tuple[str, ...]] = ("output", "output", "rows", "input")

    @property
    def ranks(self) -> tuple[int, ...]:
        """(r1, r2, r3)."""
        return self.right.shape[-2], self.rows.shape[-3], self.left.shape[-1]

    def product(self) -> Tensor:
        """The kernel (c_out, c_in, k_h, k_w)."""
        outer = torch.einsum("...oz,...zyb->...oyb", self.left, self.columns)
        inner = torch.einsum("...yxa,...xc->...yac", self.rows, self.right)
        return torch.einsum("...oyb,...yac->...ocab", outer, inner)

    def squared_norm(self) -> Tensor:
        """|kernel|_F^2 by sweeping r x r transfer matrices from the inputs to the outputs."""
        left, columns, rows, right = self.tensors
        seen = _through(columns, _through(rows, right @ right.mT))
        return (seen * (left.mT @ left)).sum()

    def gradients(self) -> tuple[Tensor, ...]:
        """Gradients of half the squared norm from the transfer matrices of both directions."""
        left, columns, rows, right = self.tensors
        first = right @ right.mT
        second = _through(rows, first)
        third = _through(columns, second)
        later = torch.einsum("...zw,...wyb->...zyb", left.mT @ left, columns)
        middle = torch.einsum("...zyb,...zxb->...yx", columns, later)
        earlier = torch.einsum("...zw,...wyb->...zyb", middle, rows)
        start = torch.einsum("...zyb,...zxb->...yx", rows, earlier)
        return (
            left @ third,
            torch.einsum("...zyb,...yx->...zxb", later, second),
            torch.einsum("...zyb,...yx->...zxb", earlier, first),
            start @ right,
        )

    @classmethod
    def shapes(cls, shape: Sequence[int], ranks: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """The shapes of `left`, `columns`, `rows` and `right`."""
        (c_out, c_in, k_h, k_w), (r1, r2, r3) = shape, ranks
        return (c_out, r3), (r3, r2, k_w), (r2, r1, k_h), (r1, c_in)

    @classmethod
    def full_ranks(cls, shape: Sequence[int]) -> tuple[int, ...]:
        """The ranks of the three unfoldings of a kernel in general position."""
        c_out, c_in, k_h, k_w = shape
        return min(c_in, k_h * k_w * c_out), min(c_in * k_h, k_w * c_out), min(c_in * k_h * k_w, c_out)

    @classmethod
    def useful(cls, shape: Sequence[int], ranks: Sequence[int]) -> tuple[int, ...]:
        """The ranks, each at most what its neighbours times the taps between carry."""
        r1, r2, r3 = (min(pair) for pair in zip(ranks, cls.full_ranks(shape), strict=True))
        k_h, k_w = shape[2:]
        r2 = min(r2, r1 * k_h, r3 * k_w)
        return min(r1, r2 * k_h), r2, min(r3, r2 * k_w)

    @classmethod
    def decompose(cls, kernel: Tensor, ranks: Sequence[int], **options: Any) -> Self:
        """The truncation by one SVD after another, inputs first, norm shared equally (Oseledets 2011)."""
        r1, r2, r3 = cls.check_ranks(tuple(kernel.shape), ranks)
        unit, peak = brought_to_size(kernel)
        c_out, c_in, k_h, k_w = kernel.shape
        rest = unit.permute(1, 2, 3, 0).reshape(c_in, -1)
        right, rest = split(rest, r1)
        rows, rest = split(rest.reshape(r1 * k_h, -1), r2)
        columns, rest = split(rest.reshape(r2 * k_w, -1), r3)
        return cls(
            (rest.mT * peak).contiguous(),
            columns.reshape(r2, k_w, r3).permute(2, 0, 1).contiguous(),
            rows.reshape(r1, k_h, r2).permute(2, 0, 1).contiguous(),
            right.mT.contiguous(),
        ).equalized()


def split(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The leading left singular vectors (m, rank) of a matrix, orthonormal, and its rows (rank, n) in them."""
    m, n = matrix.shape
    if m <= n:
        basis = leading(matrix @ matrix.mT, rank)
    else:
        basis = torch.linalg.qr(matrix @ leading(matrix.mT @ matrix, rank))[0]
    return basis, basis.mT @ matrix


def _through(core: Tensor, gram: Tensor) -> Tensor:
    """The sum over taps of core gram core^T."""
    return torch.einsum("...zyb,...wyb->...zw", torch.einsum("...zyb,...yx->...zxb", core, gram), core)
