"""Tensor train of a matrix whose rows and columns are numbered by several indices each."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from lrexplore.linalg.tensors.kernel_factors import ManyFactors, brought_to_size
from lrexplore.linalg.tensors.tensor_train import split

Modes = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class TrainMatrix(ManyFactors):
    """Cores (r_{k-1}, m_k, n_k, r_k) of a matrix (m_1 ... m_d, n_1 ... n_d), r_0 = r_d = 1 (Novikov et al. 2015).

    `ranks` is (r_1, ..., r_{d-1}); `modes` are the sizes (m_1, ..., m_d) and (n_1, ..., n_d).
    """

    cores: tuple[Tensor, ...]

    form: ClassVar[str] = "tt"
    bias: ClassVar[None] = None
    note: ClassVar[str] = ""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The cores."""
        return self.cores

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        """The same with other cores."""
        return type(self)(tuple(tensors))

    @property
    def ranks(self) -> tuple[int, ...]:
        """(r_1, ..., r_{d-1})."""
        return tuple(core.shape[-1] for core in self.cores[:-1])

    @property
    def modes(self) -> Modes:
        """The sizes (m_1, ..., m_d) and (n_1, ..., n_d)."""
        return tuple(core.shape[1] for core in self.cores), tuple(core.shape[2] for core in self.cores)

    def product(self) -> Tensor:
        """The matrix (m, n)."""
        matrix = self.cores[0].new_ones(1, 1, 1)
        for core in self.cores:
            matrix = torch.einsum("mnr,rabs->manbs", matrix, core).flatten(2, 3).flatten(0, 1)
        return matrix[..., 0]

    def _prefixes(self) -> list[Tensor]:
        """Transfer matrices of the cores before each, and at the end that of all."""
        seen = [self.cores[0].new_ones(1, 1)]
        for core in self.cores:
            seen.append(torch.einsum("rs,rabt,sabu->tu", seen[-1], core, core))
        return seen

    def squared_norm(self) -> Tensor:
        """|matrix|_F^2 by sweeping r x r transfer matrices."""
        return self._prefixes()[-1].sum()

    def gradients(self) -> tuple[Tensor, ...]:
        """Gradients of half the squared norm from the transfer matrices of both directions."""
        after, gradients = self.cores[0].new_ones(1, 1), []
        for core, before in zip(reversed(self.cores), reversed(self._prefixes()[:-1]), strict=True):
            gradients.append(torch.einsum("rs,sabt,tu->rabu", before, core, after))
            after = torch.einsum("rabt,tu,sabu->rs", core, after, core)
        return tuple(reversed(gradients))

    def scaled_outputs(self, scale: Tensor) -> Self:
        """Raises ValueError: no core has one row an output."""
        raise ValueError(
            "`initializer` must be one that leaves outputs as they are for the tensor train of a matrix, got one that "
            "scales each: no core is per output. Use spectral."
        )

    @classmethod
    def full_ranks(cls, modes: Modes) -> tuple[int, ...]:
        """The ranks at which every matrix of these modes is reached."""
        sizes = [m * n for m, n in zip(*modes, strict=True)]
        return tuple(min(prod(sizes[:cut]), prod(sizes[cut:])) for cut in range(1, len(sizes)))

    @classmethod
    def shapes(cls, modes: Modes, ranks: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """The shapes of the cores."""
        inner = (1, *ranks, 1)
        return tuple((inner[k], m, n, inner[k + 1]) for k, (m, n) in enumerate(zip(*modes, strict=True)))

    @classmethod
    def count(cls, modes: Modes, ranks: Sequence[int]) -> int:
        """Numbers stored by the cores."""
        return sum(map(prod, cls.shapes(modes, ranks)))

    @classmethod
    def useful(cls, modes: Modes, ranks: Sequence[int]) -> tuple[int, ...]:
        """The ranks, each at most what its neighbours times a core's sizes carry."""
        sizes = [m * n for m, n in zip(*modes, strict=True)]
        inner = [1, *(min(pair) for pair in zip(ranks, cls.full_ranks(modes), strict=True)), 1]
        for k in range(1, len(sizes)):
            inner[k] = min(inner[k], inner[k - 1] * sizes[k - 1])
        for k in range(len(sizes) - 1, 0, -1):
            inner[k] = min(inner[k], inner[k + 1] * sizes[k])
        return tuple(inner[1:-1])

    @classmethod
    def check_modes(cls, shape: Sequence[int], modes: Any) -> Modes:
        """The modes, when they multiply to the shape (m, n) of the matrix. Raises ValueError otherwise."""
        try:
            rows, columns = (tuple(int(size) for size in part) for part in modes)
            fits = len(rows) == len(columns) > 1 and min(*rows, *columns) > 0
            fits = fits and (prod(rows), prod(columns)) == tuple(shape)
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise ValueError(
                f"`shape` must be two lists of as many sizes that multiply to {shape[0]} and {shape[1]}, got {modes!r}."
                " Pass ((m1, m2, ...), (n1, n2, ...))."
            )
        return rows, columns

    @classmethod
    def check_ranks(cls, modes: Modes, ranks: Any) -> tuple[int, ...]:
        """The ranks as ints, when cores of these modes have such. Raises ValueError otherwise."""
        full = cls.full_ranks(modes)
        given = (ranks,) if len(full) == 1 and isinstance(ranks, int) else ranks
        whole = isinstance(given, tuple | list) and len(given) == len(full)
        if not whole or any(isinstance(rank, bool) or not isinstance(rank, int) or rank < 1 for rank in given):
            raise ValueError(
                f"`ranks` must be {len(full)} whole numbers for {len(full) + 1} cores, got {ranks!r}. Pass e.g. {full}."
            )
        useful = cls.useful(modes, given)
        if tuple(given) != useful:
            raise ValueError(
                f"`ranks` must carry each other in a tensor train of modes {modes}, got {tuple(given)} of which only "
                f"{useful} can be used. Pass these."
            )
        return tuple(given)

    @classmethod
    def decompose(cls, matrix: Tensor, ranks: Sequence[int], modes: Modes) -> Self:
        """The truncation by one SVD after another, norm shared equally (Oseledets 2011)."""
        ranks = cls.check_ranks(modes, ranks)
        unit, peak = brought_to_size(matrix)
        num = len(modes[0])
        order = [axis for k in range(num) for axis in (k, num + k)]
        rest = unit.reshape(*modes[0], *modes[1]).permute(order).reshape(1, -1)
        cores = []
        for (before, m, n, after), last in zip(cls.shapes(modes, ranks), [*[False] * (num - 1), True], strict=True):
            rest = rest.reshape(before * m * n, -1)
            basis, rest = (rest * peak, rest) if last else split(rest, after)
            cores.append(basis.reshape(before, m, n, after).contiguous())
        return cls(tuple(cores)).equalized()
