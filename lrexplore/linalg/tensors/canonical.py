"""Canonical polyadic form (CP) of a kernel: a sum of r kernels, each a product of four vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from lrexplore.linalg.tensors.kernel_factors import KernelFactors, brought_to_size, leading

BOUND = 10.0
"""The components' norms, root of the sum of squares, are at most so many times the kernel's."""


@dataclass(frozen=True, eq=False)
class CPFactors(KernelFactors):
    """`left` (c_out, r), `columns` (r, k_w), `rows` (r, k_h), `right` (r, c_in).

    Four convolutions: 1 x 1 by `right`, depthwise k_h x 1 by `rows`, depthwise 1 x k_w by `columns`, 1 x 1 by `left`.
    """

    left: Tensor
    columns: Tensor
    rows: Tensor
    right: Tensor
    bias: Tensor | None = None
    note: str = ""

    form: ClassVar[str] = "cp"
    num_ranks: ClassVar[int] = 1
    positions: ClassVar[tuple[str, ...]] = ("output", "output", "rows", "input")

    @property
    def ranks(self) -> tuple[int, ...]:
        """(r,)."""
        return (self.left.shape[-1],)

    def product(self) -> Tensor:
        """The kernel (c_out, c_in, k_h, k_w)."""
        taps = torch.einsum("...ra,...rb->...rab", self.rows, self.columns)
        return torch.einsum("...or,...rab,...rc->...ocab", self.left, taps, self.right)

    def _grams(self) -> list[Tensor]:
        left, *others = self.tensors
        return [left.mT @ left, *(factor @ factor.mT for factor in others)]

    def squared_norm(self) -> Tensor:
        """|kernel|_F^2, the sum over the entrywise product of the four r x r Grams."""
        left, columns, rows, right = self._grams()
        return (left * columns * rows * right).sum()

    def gradients(self) -> tuple[Tensor, ...]:
        """Gradients of half the squared norm: every factor times the entrywise product of the others' Grams."""
        left, columns, rows, right = self._grams()
        taps = columns * rows
        return (
            self.left @ (taps * right),
            (left * rows * right) @ self.columns,
            (left * columns * right) @ self.rows,
            (left * taps) @ self.right,
        )

    @classmethod
    def shapes(cls, shape: Sequence[int], ranks: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """The shapes of `left`, `columns`, `rows` and `right`."""
        (c_out, c_in, k_h, k_w), (rank,) = shape, ranks
        return (c_out, rank), (rank, k_w), (rank, k_h), (rank, c_in)

    @classmethod
    def full_ranks(cls, shape: Sequence[int]) -> tuple[int, ...]:
        """The product of all sizes but the largest: one component a fibre along that axis."""
        return (torch.Size(shape).numel() // max(shape),)

    @classmethod
    def useful(cls, shape: Sequence[int], ranks: Sequence[int]) -> tuple[int, ...]:
        """The rank, at most the full one."""
        return (min(ranks[0], *cls.full_ranks(shape)),)

    @classmethod
    def decompose(
        cls,
        kernel: Tensor,
        ranks: Sequence[int],
        *,
        num_sweeps: int = 50,
        tolerance: float = 2e-4,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> Self:
        """The fit that alternating least squares finds from HOSVD; every component's norm shared by its four vectors.

        No best fit need exist: components may grow without bound while they cancel (de Silva & Lim 2008). So a ridge on
        the components' norms is raised until they are at most `BOUND` times the kernel's, and every step lowers the
        squared error plus that ridge. Ends where a sweep lowers it by less than `tolerance` of it, or after
        `num_sweeps`. At full rank, where nothing is to be searched for, the fit is exact.
        """
        (rank,) = cls.check_ranks(tuple(kernel.shape), ranks)
        unit, peak = brought_to_size(kernel)
        if not bool(unit.any()):
            left, columns, rows, right = map(unit.new_zeros, cls.shapes(tuple(kernel.shape), (rank,)))
            return cls(left, columns, rows, right)
        if (rank,) == cls.full_ranks(tuple(kernel.shape)):
            factors = _by_fibres(unit)
        else:
            if generator is None:
                generator = torch.Generator(unit.device).manual_seed(0)
            factors = _alternate(unit, _start(unit, rank, generator), num_sweeps, tolerance)
        norms = torch.stack([factor.norm(dim=0) for factor in factors])
        weights = norms.prod(0)
        shared = (weights * peak) ** 0.25
        left, right, rows, columns = (
            torch.where(norm > 0, factor / norm, 0) * shared for factor, norm in zip(factors, norms, strict=True)
        )
        return cls(left, columns.mT.contiguous(), rows.mT.contiguous(), right.mT.contiguous())


def _by_fibres(kernel: Tensor) -> list[Tensor]:
    """One component a fibre along the longest axis: exact. Factors (size, rank) in the order of the kernel's axes."""
    longest = max(range(4), key=lambda axis: kernel.shape[axis])
    others = [axis for axis in range(4) if axis != longest]
    places = torch.cartesian_prod(*(torch.arange(kernel.shape[axis], device=kernel.device) for axis in others))
    factors = [kernel.new_zeros(0)] * 4
    for axis, place in zip(others, places.mT, strict=True):
        factors[axis] = torch.eye(kernel.shape[axis], dtype=kernel.dtype, device=kernel.device)[:, place]
    factors[longest] = kernel.movedim(longest, 0).flatten(1)
    return factors


def _start(kernel: Tensor, rank: int, generator: torch.Generator) -> list[Tensor]:
    """Leading singular vectors of every unfolding, and drawn ones where there are not so many; unit columns.

    A little noise on them: least squares may stand still at exact singular vectors that are no best fit.
    """
    factors = []
    for axis in range(4):
        unfolded = kernel.movedim(axis, 0).flatten(1)
        basis = leading(unfolded @ unfolded.mT, rank)
        like: dict[str, Any] = {"dtype": kernel.dtype, "device": kernel.device, "generator": generator}
        drawn = torch.randn(len(basis), rank, **like) / len(basis) ** 0.5
        drawn[:, : basis.shape[1]] = basis + 0.1 * drawn[:, : basis.shape[1]]
        factors.append(drawn / drawn.norm(dim=0))
    return factors


def _alternate(kernel: Tensor, factors: list[Tensor], num_sweeps: int, tolerance: float) -> list[Tensor]:
    """The factors after sweeps of least squares with a ridge on the components; all but the last have unit columns."""
    total = float(kernel.square().sum())
    ridge, before = 1e-6, float("inf")
    for _ in range(num_sweeps):
        for axis in (2, 3, 1, 0):  # output channels last: their norms are then right for the other three
            units = [factor / factor.norm(dim=0).clamp_min(1e-30) for factor in factors]
            others = [factor for other, factor in enumerate(units) if other != axis]
            gram = torch.stack([factor.mT @ factor for factor in others]).prod(0)
            gram.diagonal().add_(ridge)
            seen = _against(kernel, axis, others)
            factors = list(units)
            factors[axis] = torch.linalg.solve(gram, seen.mT).mT
        # At the least point <seen, factor> = factor gram factor^T, so the loss needs no product.
        weights = float(factors[0].square().sum())
        reached = total - float((seen * factors[0]).sum())  # the squared error plus the ridge
        if weights > BOUND**2 * total and ridge < BOUND**-2:
            ridge, before = min(10 * ridge, BOUND**-2), float("inf")
            continue
        if before - reached <= tolerance * reached:
            break
        before = reached
    return factors


def _against(kernel: Tensor, axis: int, others: list[Tensor]) -> Tensor:
    """The kernel, all axes but one summed against three factors, in the order of the axes: (size, rank)."""
    if axis < 2:
        channels, rows, columns = others
        rest = channels[:, None, None] * rows[:, None] * columns
        return kernel.movedim(axis, 0).flatten(1) @ rest.flatten(0, 2)
    left, right, taps = others
    c_out, c_in, *kernel_size = kernel.shape
    inner = (kernel.permute(0, 2, 3, 1).reshape(-1, c_in) @ right).reshape(c_out, *kernel_size, -1)
    inner = (inner * left[:, None, None]).sum(0)
    return (inner * taps).sum(1) if axis == 2 else (inner * taps[:, None]).sum(0)
