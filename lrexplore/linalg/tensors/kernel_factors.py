"""What the factors of every form of a tensor have in common."""

from collections.abc import Sequence
from dataclasses import fields, replace
from math import prod
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from lrexplore.linalg.factors import upcast


class ManyFactors:
    """Two or more tensors that multiply to a weight, none of which need be a matrix.

    A form subclasses it as a frozen dataclass whose first fields are its tensors. Every tensor may have further axes in
    front, alike in all: a stack of such products, as the groups of a convolution are.
    """

    form: ClassVar[str]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The factors, the one that outputs leave first."""
        raise NotImplementedError

    @property
    def ranks(self) -> tuple[int, ...]:
        """The inner dimensions, from the inputs to the outputs."""
        raise NotImplementedError

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        """The same with other tensors in the place of these."""
        raise NotImplementedError

    def product(self) -> Tensor:
        """The weight that the factors stand for."""
        raise NotImplementedError

    def squared_norm(self) -> Tensor:
        """|product|_F^2, of a whole stack together, differentiable; the product is never formed."""
        raise NotImplementedError

    def gradients(self) -> tuple[Tensor, ...]:
        """Gradients of half the squared norm, one a tensor; the product is never formed."""
        raise NotImplementedError

    def scaled_outputs(self, scale: Tensor) -> Self:
        """The factors of the weight with output i times `scale[i]`."""
        raise NotImplementedError

    @property
    def num_parameters(self) -> int:
        """Numbers stored."""
        return sum(tensor.numel() for tensor in self.tensors)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """The same factors on another device or in another dtype (arguments of `Tensor.to`)."""
        return self.with_tensors([tensor.to(*args, **kwargs) for tensor in self.tensors])

    def equalized(self) -> Self:
        """The same product, its norm shared equally: all factors have the same Frobenius norm. Of one product only."""
        norms = torch.stack([torch.linalg.vector_norm(tensor, dtype=torch.float64) for tensor in self.tensors])
        if not bool((norms > 0).all()):
            return self
        shared = norms.log().mean().exp()
        scales = shared / norms
        return self.with_tensors(
            [tensor * scale.to(tensor.dtype) for tensor, scale in zip(self.tensors, scales, strict=True)]
        )


class KernelFactors(ManyFactors):
    """Factors of one group's kernel (c_out, c_in, k_h, k_w); a chain of convolutions stands for its own."""

    num_ranks: ClassVar[int]
    positions: ClassVar[tuple[str, ...]]
    """Where each factor's convolution runs: on the pixels of the input, of the output, or "rows" (the output's rows of
    the input's columns)."""

    bias: Tensor | None = None
    note: str = ""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The factors, `left` first."""
        return tuple(getattr(self, name) for name in self.names())

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """What the factors are called, `left` first."""
        return tuple(field.name for field in fields(cls) if field.name not in ("bias", "note"))  # type: ignore[arg-type]

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        """The same with other tensors in the place of these."""
        return replace(self, **dict(zip(self.names(), tensors, strict=True)))  # type: ignore[type-var]

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """The same factors and correction on another device or in another dtype (arguments of `Tensor.to`)."""
        moved = super().to(*args, **kwargs)
        return moved if self.bias is None else replace(moved, bias=self.bias.to(*args, **kwargs))  # type: ignore[type-var]

    def scaled_outputs(self, scale: Tensor) -> Self:
        """The factors of the kernel with output channel i times `scale[i]`."""
        left, *others = self.tensors
        return self.with_tensors([left * scale.to(left.dtype)[:, None], *others])

    @classmethod
    def shapes(cls, shape: Sequence[int], ranks: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """The shapes of the factors of a kernel, in the order of `names`."""
        raise NotImplementedError

    @classmethod
    def full_ranks(cls, shape: Sequence[int]) -> tuple[int, ...]:
        """The ranks at which every kernel of this shape is reached."""
        raise NotImplementedError

    @classmethod
    def useful(cls, shape: Sequence[int], ranks: Sequence[int]) -> tuple[int, ...]:
        """The ranks, each cut to what its neighbours and the shape can carry."""
        raise NotImplementedError

    @classmethod
    def decompose(cls, kernel: Tensor, ranks: Sequence[int], **options: Any) -> Self:
        """The factors that come close to a kernel, norm shared equally; exact at full rank."""
        raise NotImplementedError

    @classmethod
    def count(cls, shape: Sequence[int], ranks: Sequence[int]) -> int:
        """Numbers stored by the factors of a kernel."""
        return sum(map(prod, cls.shapes(shape, ranks)))

    @classmethod
    def check_ranks(cls, shape: Sequence[int], ranks: Any) -> tuple[int, ...]:
        """The ranks as ints, when the form has such ranks for a kernel of this shape. Raises ValueError otherwise."""
        full, by = cls.full_ranks(shape), " x ".join(map(str, shape))
        given = (ranks,) if cls.num_ranks == 1 and isinstance(ranks, int) else ranks
        is_list = isinstance(given, tuple | list) and len(given) == cls.num_ranks
        if not is_list or any(isinstance(rank, bool) or not isinstance(rank, int) for rank in given):
            many = "a whole number" if cls.num_ranks == 1 else f"{cls.num_ranks} whole numbers, inputs' side first,"
            raise ValueError(f"`ranks` must be {many} for the form {cls.form}, got {ranks!r}. Pass e.g. {full}.")
        if any(not 1 <= rank <= top for rank, top in zip(given, full, strict=True)):
            within = ", ".join(f"1..{top}" for top in full)
            raise ValueError(
                f"`ranks` must lie in {within} for the {cls.form} form of a {by} kernel, got {ranks!r}. Choose smaller "
                "ones; larger only repeat what full rank already has."
            )
        useful = cls.useful(shape, given)
        if tuple(given) != useful:
            raise ValueError(
                f"`ranks` must carry each other for the {cls.form} form of a {by} kernel, got {tuple(given)} of which "
                f"only {useful} can be used. Pass these."
            )
        return tuple(given)


def shared_deviations(shapes: Sequence[Sequence[int]], ranks: Sequence[int], variance: float) -> tuple[float, ...]:
    """Standard deviations of independent entries for which the product's have this variance, a factor each.

    The product's entries are sums over all inner indices. All factors get the same expected norm.
    """
    sizes = [prod(shape) for shape in shapes]
    norm = (variance * prod(sizes) / prod(ranks)) ** (1 / len(sizes))
    return tuple((norm / size) ** 0.5 for size in sizes)


def leading(gram: Tensor, rank: int) -> Tensor:
    """Orthonormal columns (n, rank) of the leading eigenvectors of a Gram matrix (n, n)."""
    return torch.linalg.eigh(gram)[1].flip(-1)[:, :rank]


def brought_to_size(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """The kernel, upcast, over its largest entry, and that entry (1 of a kernel of zeros): squares stay in range."""
    kernel = upcast(kernel.detach())
    peak = kernel.abs().amax()
    peak = torch.where(peak > 0, peak, torch.ones_like(peak))
    return kernel / peak, peak
