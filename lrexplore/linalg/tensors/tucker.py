"""Tucker-2 of a kernel: fewer channels on both sides of it, and a small kernel between."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from lrexplore.linalg.tensors.kernel_factors import KernelFactors, brought_to_size, leading


@dataclass(frozen=True, eq=False)
class TuckerFactors(KernelFactors):
    """`left` (c_out, r_out), `core` (r_out, r_in, k_h, k_w), `right` (r_in, c_in); `ranks` is (r_in, r_out).

    Three convolutions: 1 x 1 by `right`, k_h x k_w by `core`, 1 x 1 by `left`.
    `bias` and `note` are those of `lrexplore.init.real.corrected`.
    """

    left: Tensor
    core: Tensor
    right: Tensor
    bias: Tensor | None = None
    note: str = ""

    form: ClassVar[str] = "tucker"
    num_ranks: ClassVar[int] = 2
    positions: ClassVar[tuple[str, ...]] = ("output", "output", "input")

    @property
    def ranks(self) -> tuple[int, ...]:
        """(r_in, r_out)."""
        return self.right.shape[-2], self.left.shape[-1]

    def product(self) -> Tensor:
        """The kernel (c_out, c_in, k_h, k_w)."""
        return torch.einsum("...op,...pqab,...qc->...ocab", self.left, self.core, self.right)

    def squared_norm(self) -> Tensor:
        """|kernel|_F^2 from the Grams of `left` and `right`."""
        left, core, right = self.tensors
        inward = torch.einsum("...pqab,...qs->...psab", core, right @ right.mT)
        return (inward * torch.einsum("...sp,...pqab->...sqab", left.mT @ left, core)).sum()

    def gradients(self) -> tuple[Tensor, ...]:
        """Gradients of half the squared norm in r x r Grams."""
        left, core, right = self.tensors
        left_gram = left.mT @ left
        inward = torch.einsum("...pqab,...qs->...psab", core, right @ right.mT)
        outward = torch.einsum("...sp,...pqab->...sqab", left_gram, core)
        return (
            left @ torch.einsum("...pqab,...sqab->...ps", core, inward),
            torch.einsum("...sp,...pqab->...sqab", left_gram, inward),
            torch.einsum("...pqab,...psab->...qs", core, outward) @ right,
        )

    @classmethod
    def shapes(cls, shape: Sequence[int], ranks: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """The shapes of `left`, `core` and `right`."""
        (c_out, c_in, *kernel_size), (r_in, r_out) = shape, ranks
        return (c_out, r_out), (r_out, r_in, *kernel_size), (r_in, c_in)

    @classmethod
    def full_ranks(cls, shape: Sequence[int]) -> tuple[int, ...]:
        """The ranks of the two unfoldings of a kernel in general position."""
        c_out, c_in, k_h, k_w = shape
        return min(c_in, c_out * k_h * k_w), min(c_out, c_in * k_h * k_w)

    @classmethod
    def useful(cls, shape: Sequence[int], ranks: Sequence[int]) -> tuple[int, ...]:
        """The ranks, each at most k_h k_w times the other."""
        taps = shape[2] * shape[3]
        r_in, r_out = (min(pair) for pair in zip(ranks, cls.full_ranks(shape), strict=True))
        return min(r_in, r_out * taps), min(r_out, r_in * taps)

    @classmethod
    def decompose(
        cls, kernel: Tensor, ranks: Sequence[int], *, num_sweeps: int = 100, tolerance: float = 3e-4, **options: Any
    ) -> Self:
        """The best fit that HOOI finds from HOSVD, norm shared equally (De Lathauwer et al. 2000).

        Both sides in turn are moved by power steps on the Gram of what the other side leaves, which only raises what is
        kept, and then somewhat further in the direction in which they went; where that lowers it, it is taken back. It
        ends where a sweep lowers the squared error by less than `tolerance` of it, or after `num_sweeps`.
        """
        r_in, r_out = cls.check_ranks(tuple(kernel.shape), ranks)
        unit, peak = brought_to_size(kernel)
        c_out, c_in, k_h, k_w = kernel.shape
        taps = unit.permute(2, 3, 0, 1).reshape(k_h * k_w, c_out, c_in).contiguous()
        turned = taps.mT.contiguous()
        left = leading(_gram(turned), r_out)
        right = leading(_gram(left.mT @ taps), r_in)
        total = float(unit.square().sum())
        left, right = _swept(taps, turned, left, right, total, num_sweeps, tolerance)
        core = (left.mT @ taps @ right).reshape(k_h, k_w, r_out, r_in).permute(2, 3, 0, 1).contiguous()
        return cls(left.contiguous(), core * peak, right.mT.contiguous()).equalized()


def _swept(
    taps: Tensor, turned: Tensor, left: Tensor, right: Tensor, total: float, num_sweeps: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Orthonormal columns for both sides, better than the given ones; `turned` are the taps transposed."""
    kept, further = 0.0, (left, right)
    for sweep in range(num_sweeps):
        new_right = _turned_towards(further[0].mT @ taps, further[1])
        narrowed = new_right.mT @ turned
        new_left = _turned_towards(narrowed, further[0])
        reached = float((narrowed @ new_left).square().sum())
        if reached < kept:  # went too far
            if further[0] is left:
                break  # no more than rounding: a plain step never lowers it
            further = left, right
            continue
        gained, lost = reached - kept, total - reached
        if sweep:
            further = _ahead(new_left, left), _ahead(new_right, right)
        else:
            further = new_left, new_right
        left, right, kept = new_left, new_right, reached
        if sweep and gained <= tolerance * lost or lost <= 1e-14 * total:
            break
    return left, right


def _gram(stack: Tensor) -> Tensor:
    """Inner products of the columns of matrices one below the other."""
    rows = stack.reshape(-1, stack.shape[-1])
    return rows.mT @ rows


def _turned_towards(stack: Tensor, basis: Tensor) -> Tensor:
    """The basis after two power steps on the Gram of `stack`."""
    gram = _gram(stack)
    gram = gram / gram.diagonal().mean().clamp_min(1e-30)
    return torch.linalg.qr(gram @ (gram @ basis))[0]


def _ahead(new: Tensor, old: Tensor) -> Tensor:
    """The basis moved on by as much as it has moved."""
    return torch.linalg.qr(2 * new - old @ (old.mT @ new))[0]
