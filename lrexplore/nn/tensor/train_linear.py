"""A linear layer whose matrix is a tensor train over several indices of its inputs and outputs."""

from collections.abc import Sequence
from math import prod
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.linalg import upcast
from lrexplore.linalg.tensors import TrainMatrix
from lrexplore.linalg.tensors.kernel_factors import shared_deviations
from lrexplore.nn.factorized import Factorized
from lrexplore.nn.linear import adopt_parameters, adopt_weight


class TrainLinear(Factorized):
    """x -> W x + bias, W the product of its `cores` (r_{k-1}, m_k, n_k, r_k) (Novikov et al. 2015, arXiv:1509.06569).

    `shape` is ((m_1, ..., m_d), (n_1, ..., n_d)): the sizes that multiply to out_features and in_features. `ranks` is
    (r_1, ..., r_{d-1}). `weight` is the matrix, formed anew at every read; `execution` "product" multiplies by it.
    Raises ValueError for sizes that do not multiply to the layer's and for ranks that cannot be used.

    >>> layer = lr.nn.tensor.TrainLinear(16, 32, ranks=(4,), shape=((8, 4), (4, 4)))
    >>> layer(torch.zeros(2, 16)).shape, [tuple(core.shape) for core in layer.cores]
    (torch.Size([2, 32]), [(1, 8, 4, 4), (4, 4, 4, 1)])
    """

    bias: nn.Parameter | None

    def __init__(
        self, in_features: int, out_features: int, ranks: int | Sequence[int], shape: Sequence[Sequence[int]], *,
        bias: bool = True, device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ):  # fmt: skip
        super().__init__()
        self.in_features, self.out_features, self.execution = in_features, out_features, "factors"
        self.shape = TrainMatrix.check_modes((out_features, in_features), shape)
        self.ranks = TrainMatrix.check_ranks(self.shape, ranks)
        like: dict[str, Any] = {"device": device, "dtype": dtype}
        shapes = TrainMatrix.shapes(self.shape, self.ranks)
        for k, size in enumerate(shapes):  # not a ParameterList: parameters belong to the module that they are of
            self.register_parameter(f"core{k}", nn.Parameter(torch.empty(size, **like)))
        self.register_parameter("bias", nn.Parameter(torch.empty(out_features, **like)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws cores whose product has the variance 1 / (3 in_features) of a fresh `nn.Linear`."""
        shapes = TrainMatrix.shapes(self.shape, self.ranks)
        stds = shared_deviations(shapes, self.ranks, 1 / (3 * self.in_features))
        for core, std in zip(self.cores, stds, strict=True):
            nn.init.normal_(core, std=std)
        if self.bias is not None:
            bound = self.in_features**-0.5
            nn.init.uniform_(self.bias, -bound, bound)

    @classmethod
    def like(cls, layer: nn.Linear, ranks: Sequence[int], shape: Sequence[Sequence[int]]) -> Self:
        """The layer of these ranks, without values (on the meta device), that stands for `layer`."""
        has_bias, dtype = layer.bias is not None, layer.weight.dtype
        return cls(layer.in_features, layer.out_features, ranks, shape, bias=has_bias, device="meta", dtype=dtype)

    @classmethod
    def from_layer(cls, layer: nn.Linear, factors: TrainMatrix) -> Self:
        """The layer that stands for `layer`, with a copy of its bias."""
        new = cls.like(layer, factors.ranks, factors.modes)
        adopt_parameters(new, layer, **{f"core{k}": core for k, core in enumerate(factors.cores)})
        return new

    @property
    def cores(self) -> tuple[nn.Parameter, ...]:
        """The cores (r_{k-1}, m_k, n_k, r_k)."""
        return tuple(getattr(self, f"core{k}") for k in range(len(self.ranks) + 1))

    @property
    def weight_shape(self) -> tuple[int, int]:
        """(out_features, in_features)."""
        return self.out_features, self.in_features

    def factor_parameters(self) -> tuple[nn.Parameter, ...]:
        """The cores."""
        return self.cores

    def factors(self) -> list[TrainMatrix]:
        """The cores, as a list of one."""
        return [TrainMatrix(self.cores)]

    @property
    def weight(self) -> Tensor:
        """The matrix (out_features, in_features) that the cores multiply to."""
        return self.factors()[0].product()

    def collapse(self) -> nn.Linear:
        """The ordinary layer with the same outputs."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        adopt_weight(layer, self, self.weight)
        return layer

    def _upcast(self) -> TrainMatrix:
        return TrainMatrix(tuple(upcast(core) for core in self.cores))

    def frobenius_penalty(self) -> Tensor:
        """|W|_F^2, differentiable, by r x r transfer matrices."""
        return self._upcast().squared_norm()

    @torch.no_grad()
    def penalty_gradients(self) -> tuple[Tensor, ...]:
        """Gradients of half the penalty by r x r transfer matrices; the matrix is never formed."""
        return self._upcast().gradients()

    def multiply_adds(self, input_size: tuple[int, int], output_size: tuple[int, int]) -> int:
        """Multiply-adds of the contraction, core after core, at all positions."""
        (rows, columns), total = self.shape, 0
        for k, core in enumerate(self.cores):
            total += prod(rows[:k]) * core.numel() * prod(columns[k + 1 :])
        return output_size[0] * output_size[1] * total

    def built(self) -> dict[str, Any]:
        """The form, its ranks and its shape."""
        return {"form": "tt", "ranks": list(self.ranks), "shape": [list(sizes) for sizes in self.shape]}

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Linear gives it
        if self.execution == "product":
            return F.linear(input, self.weight, self.bias)
        x = input.reshape(-1, 1, 1, self.in_features)  # (position, outputs so far, r, inputs to come)
        for core in self.cores:
            x = x.unflatten(-1, (core.shape[2], -1))
            x = torch.einsum("bprnx,rmns->bpmsx", x, core).flatten(1, 2)
        out = x.reshape(*input.shape[:-1], self.out_features)
        return out if self.bias is None else out + self.bias.to(out.dtype)  # autocast leaves it in float32

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, ranks={self.ranks}, "
            f"shape={self.shape}, bias={self.bias is not None}"
        )
