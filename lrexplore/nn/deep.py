"""Layers that train as a product of two or three factors, wider than the layer, and predict as the layer.

More factors than needed change how a layer learns and not what it can be: weight decay of two is the nuclear norm of
their product, of three a quasi-norm that presses small singular values harder. Khodak et al. 2021 (arXiv:2105.01029)
train so and collapse at the end. Every step forms the product once and runs one ordinary layer with it.
"""

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.linalg import matrix_shape, upcast
from lrexplore.linalg.deep_factors import DeepFactors
from lrexplore.linalg.matricization import SCHEMES, dematricize
from lrexplore.linalg.rank import check_size
from lrexplore.linalg.tensors.kernel_factors import shared_deviations
from lrexplore.nn.conv_options import ConvOptions, options_of
from lrexplore.nn.factorized import Factorized
from lrexplore.nn.linear import adopt_parameters, adopt_weight

DEEP = "deep"


class _Deep(Factorized):
    """What both kinds share: `left` (groups m, r), `middle` (groups r, r) or None, `right` (groups r, n)."""

    left: nn.Parameter
    middle: nn.Parameter | None
    right: nn.Parameter
    bias: nn.Parameter | None
    rank: int
    groups: int = 1
    scheme: str = "channel"
    execution: str = "product"

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the weight that the layer stands for."""
        raise NotImplementedError

    def make(self, rank: int, has_middle: bool, has_bias: bool, like: dict[str, Any]) -> None:
        """Makes the parameters and draws them: the variance 1 / (3 fan_in) of a fresh layer, `middle` the identity."""
        self.rank = check_size(rank, "rank")
        (m, n), groups = self.matrix_shape, self.groups
        self.left = nn.Parameter(torch.empty(groups * m, rank, **like))
        self.register_parameter(
            "middle", nn.Parameter(torch.empty(groups * rank, rank, **like)) if has_middle else None
        )
        self.right = nn.Parameter(torch.empty(groups * rank, n, **like))
        self.register_parameter("bias", nn.Parameter(torch.empty(self.weight_shape[0], **like)) if has_bias else None)
        self.reset_parameters()

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """The shape (m, n) of one group's matrix."""
        return matrix_shape((self.weight_shape[0] // self.groups, *self.weight_shape[1:]), self.scheme)

    def reset_parameters(self) -> None:
        """Draws factors whose product has the variance 1 / (3 fan_in) of a fresh layer; `middle` is the identity."""
        (m, n), fan_in = self.matrix_shape, torch.Size(self.weight_shape[1:]).numel()
        for factor, std in zip(
            (self.left, self.right),
            shared_deviations([(m, self.rank), (self.rank, n)], [self.rank], 1 / (3 * fan_in)),
            strict=True,
        ):
            nn.init.normal_(factor, std=std)
        if self.middle is not None:
            eye = torch.eye(self.rank, dtype=self.middle.dtype, device=self.middle.device)
            self.middle.data.copy_(eye.repeat(self.groups, 1))
        if self.bias is not None:
            nn.init.uniform_(self.bias, -(fan_in**-0.5), fan_in**-0.5)

    def adopt(self, layer: nn.Linear | nn.Conv2d, factors: list[DeepFactors]) -> None:
        """Takes the factors, one a group, and the layer's bias (a copy), dtype, device and training mode."""
        stacked = {"left": [one.left for one in factors], "right": [one.right for one in factors]}
        if self.middle is not None:
            stacked["middle"] = [one.middle for one in factors if one.middle is not None]
        adopt_parameters(self, layer, **{name: torch.cat(parts) for name, parts in stacked.items()})

    def factor_parameters(self) -> tuple[nn.Parameter, ...]:
        """`left`, `middle` where there is one, and `right`."""
        return tuple(factor for factor in (self.left, self.middle, self.right) if factor is not None)

    def stacked(self) -> DeepFactors:
        """The factors, groups first; views of the parameters."""
        parts = [
            None if factor is None else factor.unflatten(0, (self.groups, -1))
            for factor in (self.left, self.middle, self.right)
        ]
        return DeepFactors(*parts)  # type: ignore[arg-type]

    @property
    def weight(self) -> Tensor:
        """The weight that the factors multiply to, formed anew at every read."""
        shape = (self.weight_shape[0] // self.groups, *self.weight_shape[1:])
        return torch.cat([dematricize(matrix, shape, self.scheme) for matrix in self.stacked().product()])

    def _upcast(self) -> DeepFactors:
        parts = self.stacked()
        middle = None if parts.middle is None else upcast(parts.middle)
        return DeepFactors(upcast(parts.left), middle, upcast(parts.right))

    def frobenius_penalty(self) -> Tensor:
        """Squared norm of the weight, all groups together, differentiable."""
        return self._upcast().squared_norm()

    @torch.no_grad()
    def penalty_gradients(self) -> tuple[Tensor, ...]:
        """Gradients of half the penalty, shaped like the parameters."""
        return tuple(gradient.flatten(0, 1) for gradient in self._upcast().gradients())

    def multiply_adds(self, input_size: tuple[int, int], output_size: tuple[int, int]) -> int:
        """Those of the ordinary layer; forming the weight, once for a whole batch, is left out."""
        return output_size[0] * output_size[1] * torch.Size(self.weight_shape).numel()

    def built(self) -> dict[str, Any]:
        """The form, its inner dimension, its scheme, and whether there is a middle factor."""
        return {"form": DEEP, "ranks": [self.rank], "scheme": self.scheme, "middle": self.middle is not None}


class DeepLinear(_Deep):
    """x -> (left middle right) x + bias; `rank` is the inner dimension and may be larger than both sides.

    >>> from lrexplore.nn.deep import DeepLinear
    >>> layer = DeepLinear(16, 32, rank=96, middle=True)
    >>> layer(torch.zeros(2, 16)).shape, layer.middle.shape
    (torch.Size([2, 32]), torch.Size([96, 96]))
    """

    def __init__(
        self, in_features: int, out_features: int, rank: int, *, middle: bool = False, bias: bool = True,
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ):  # fmt: skip
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.make(rank, middle, bias, {"device": device, "dtype": dtype})

    @classmethod
    def like(cls, layer: nn.Linear, rank: int, *, middle: bool, scheme: str = "channel") -> Self:
        """The layer without values (on the meta device) that stands for `layer`; `scheme` changes nothing."""
        options: dict[str, Any] = {"middle": middle, "bias": layer.bias is not None, "device": "meta"}
        return cls(layer.in_features, layer.out_features, rank, dtype=layer.weight.dtype, **options)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(out_features, in_features)."""
        return self.out_features, self.in_features

    def collapse(self) -> nn.Linear:
        """The ordinary layer with the same outputs."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        adopt_weight(layer, self, self.weight)
        return layer

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Linear gives it
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, rank={self.rank}, "
            f"middle={self.middle is not None}, bias={self.bias is not None}"
        )


class DeepConv2d(ConvOptions, _Deep):
    """A convolution whose kernel is left middle right under a scheme; one convolution runs, with their product.

    Options are those of `FactorizedConv2d`; `rank` is the inner dimension and may be larger than both sides.

    >>> from lrexplore.nn.deep import DeepConv2d
    >>> layer = DeepConv2d(16, 32, 3, rank=96, padding=1)
    >>> layer(torch.zeros(1, 16, 8, 8)).shape, layer.left.shape, layer.right.shape
    (torch.Size([1, 32, 8, 8]), torch.Size([96, 96]), torch.Size([96, 48]))
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, rank: int, *, middle: bool = False,
        scheme: str = "spatial", bias: bool = True, device: torch.device | str | None = None,
        dtype: torch.dtype | None = None, **options: Any,
    ):  # fmt: skip
        super().__init__()
        if scheme not in SCHEMES:
            raise ValueError(f"`scheme` must be one of {', '.join(SCHEMES)}, got {scheme!r}. Choose one of them.")
        self.set_options(in_channels, out_channels, kernel_size, **options)
        self.scheme = scheme
        self.make(rank, middle, bias, {"device": device, "dtype": dtype})

    @classmethod
    def like(cls, layer: nn.Conv2d, rank: int, *, middle: bool, scheme: str = "spatial") -> Self:
        """The layer without values (on the meta device) that stands for `layer`."""
        options = {**options_of(layer), "bias": layer.bias is not None, "dtype": layer.weight.dtype}
        return cls(rank=rank, middle=middle, scheme=scheme, device="meta", **options)

    def collapse(self) -> nn.Conv2d:
        """The ordinary layer with the same outputs (a `Conv2dSame` for `padding="same"` with stride > 1)."""
        layer = self.ordinary()
        adopt_weight(layer, self, self.weight)
        return layer

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Conv2d gives it
        return self._conv(input, self.weight, self.bias, (True, True))

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, rank={self.rank}, "
            f"middle={self.middle is not None}, scheme={self.scheme!r}, stride={self.stride}, "
            f"bias={self.bias is not None}"
        )
