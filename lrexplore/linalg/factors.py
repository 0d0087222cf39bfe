"""A pair of factors and what can be said of their product without forming it."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

_EMPTY = (UninitializedParameter, UninitializedBuffer)


@dataclass(frozen=True, eq=False)
class Factors:
    """A factor pair `left` (m, r), `right` (r, n) whose product stands for a weight (m, n).

    Raises ValueError when the inner dimensions differ or a factor is not a matrix.

    >>> factors = lr.Factors(torch.ones(4, 2), torch.ones(2, 3))
    >>> factors.rank, factors.shape, factors.num_parameters
    (2, (4, 3), 14)
    >>> factors.product()[0]
    tensor([2., 2., 2.])
    """

    left: Tensor  # checked here, with an error of its own
    right: Tensor

    def __post_init__(self) -> None:
        for name, factor in (("left", self.left), ("right", self.right)):
            if not isinstance(factor, Tensor) or factor.is_nested or isinstance(factor, _EMPTY):
                kind = "nested or uninitialized tensor" if isinstance(factor, Tensor) else type(factor).__name__
                raise TypeError(f"`{name}` must be a torch tensor, got a {kind}. Convert it with `torch.as_tensor`.")
        if self.left.ndim != 2 or self.right.ndim != 2 or self.left.shape[1] != self.right.shape[0]:
            raise ValueError(
                "`left` and `right` must be matrices (m, r) and (r, n), got "
                f"{tuple(self.left.shape)} and {tuple(self.right.shape)}. Transpose one of them."
            )

        if self.left.dtype != self.right.dtype or self.left.device != self.right.device:
            raise ValueError(
                "`left` and `right` must be of one type on one device, got "
                f"{self.left.dtype} on {self.left.device} and {self.right.dtype} on {self.right.device}. Convert one "
                "with `.to(other)`."
            )

    @property
    def rank(self) -> int:
        """The inner dimension r."""
        return self.left.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (m, n) of the product."""
        return self.left.shape[0], self.right.shape[1]

    @property
    def num_parameters(self) -> int:
        """Numbers stored: r (m + n)."""
        return self.left.numel() + self.right.numel()

    def product(self) -> Float[Tensor, "m n"]:
        """The matrix (m, n) that the factors stand for."""
        return self.left @ self.right

    def to(self, *args: Any, **kwargs: Any) -> "Factors":
        """The same factors on another device or in another dtype (arguments of `Tensor.to`)."""
        return Factors(self.left.to(*args, **kwargs), self.right.to(*args, **kwargs))

    def balanced(self) -> "Factors":
        """Factors of the same product with `left^T left = right right^T`, both diagonal and descending.

        Cost O(r^2 (m + n)): a QR of each factor and an SVD of the r x r core. Directions the product does not
        have come out as zero columns and rows. For r > min(m, n) the shape (m, r), (r, n) is kept.
        """
        left, right = upcast(self.left), upcast(self.right)
        q_left, core_left = torch.linalg.qr(left)
        q_right, core_right = torch.linalg.qr(right.mT)
        u, s, vh = torch.linalg.svd(core_left @ core_right.mT, full_matrices=False)
        root = s.sqrt()
        missing = self.rank - len(s)
        left = torch.nn.functional.pad(q_left @ u * root, (0, missing))
        right = torch.nn.functional.pad(root[:, None] * (q_right @ vh.mT).mT, (0, 0, 0, missing))
        return Factors(left.to(self.left.dtype), right.to(self.right.dtype))


def upcast(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The tensor in a dtype that decompositions take: half precision goes to float32."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def fit_squares(matrix: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """The matrix, upcast, and in float64 where the squares of its entries would leave the range of float32."""
    matrix = upcast(matrix)
    low, high = matrix.aminmax()
    peak = float(torch.maximum(-low, high))
    return matrix if 1e-9 < peak < 1e9 or peak == 0 else matrix.double()
