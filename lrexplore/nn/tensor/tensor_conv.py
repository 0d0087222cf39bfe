"""A 2-D convolution that stores the factors of its kernel in some form, and runs as a chain of convolutions."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from lrexplore.linalg import upcast
from lrexplore.linalg.tensors import KernelFactors
from lrexplore.linalg.tensors.kernel_factors import shared_deviations
from lrexplore.nn.conv_options import ConvOptions, options_of
from lrexplore.nn.factorized import Factorized
from lrexplore.nn.linear import adopt_parameters, adopt_weight

_BOTH = (True, True)


class TensorConv2d(ConvOptions, Factorized):
    """A chain of convolutions that stands for one `nn.Conv2d`; the bias is added once, after the last.

    Parameters are called as the fields of the form's factors (`kind`), those of the groups stacked along the first
    axis. `ranks` are those of each group, the inputs' side first. Stride, padding and dilation go to the parts of the
    chain that have taps; other options are those of `FactorizedConv2d`. `weight` is the kernel, formed anew at every
    read; `execution` "product" convolves with it.
    Raises ValueError for ranks that the form has not.
    """

    kind: ClassVar[type[KernelFactors]]
    bias: nn.Parameter | None

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | Sequence[int], ranks: int | Sequence[int], *,
        stride: int | Sequence[int] = 1, padding: str | int | Sequence[int] = 0, dilation: int | Sequence[int] = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):  # fmt: skip
        super().__init__()
        self.execution = "factors"
        self.set_options(
            in_channels, out_channels, kernel_size,
            stride=stride, padding=padding, dilation=dilation, groups=groups, padding_mode=padding_mode,
        )  # fmt: skip
        self.ranks = self.kind.check_ranks(self.group_shape, ranks)
        like: dict[str, Any] = {"device": device, "dtype": dtype}
        for name, shape in zip(self.kind.names(), self.factor_shapes(), strict=True):
            setattr(self, name, nn.Parameter(torch.empty(groups * shape[0], *shape[1:], **like)))
        self.register_parameter("bias", nn.Parameter(torch.empty(out_channels, **like)) if bias else None)
        self.reset_parameters()

    def factor_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of one group's factors."""
        return self.kind.shapes(self.group_shape, self.ranks)

    def reset_parameters(self) -> None:
        """Draws factors whose product has the variance 1 / (3 fan_in) of a fresh `nn.Conv2d`."""
        fan_in = torch.Size(self.group_shape[1:]).numel()
        stds = shared_deviations(self.factor_shapes(), self.ranks, 1 / (3 * fan_in))
        for factor, std in zip(self.factor_parameters(), stds, strict=True):
            nn.init.normal_(factor, std=std)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -(fan_in**-0.5), fan_in**-0.5)

    @classmethod
    def like(cls, layer: nn.Conv2d, ranks: Sequence[int]) -> Self:
        """The layer of these ranks, without values (on the meta device), that stands for `layer`."""
        has_bias, dtype = layer.bias is not None, layer.weight.dtype
        return cls(**options_of(layer), ranks=ranks, bias=has_bias, device="meta", dtype=dtype)

    @classmethod
    def from_layer(cls, layer: nn.Conv2d, factors: KernelFactors | Sequence[KernelFactors]) -> Self:
        """The layer that stands for `layer`, with a copy of its bias. One of the form's factors a group."""
        groups = [factors] if isinstance(factors, KernelFactors) else list(factors)
        new = cls.like(layer, groups[0].ranks)
        expected = new.factor_shapes()
        shapes = [tuple(tuple(tensor.shape) for tensor in one.tensors) for one in groups]
        if shapes != [expected] * layer.groups:
            raise ValueError(
                f"`factors` must be {layer.groups} of the form {cls.kind.form} (one a group) of shapes {expected}, got "
                f"{len(groups)} of {shapes[0]}. Pass the factors of each group's kernel."
            )
        stacked = {name: torch.cat([getattr(one, name) for one in groups]) for name in cls.kind.names()}
        adopt_parameters(new, layer, **stacked)
        return new

    def factor_parameters(self) -> tuple[nn.Parameter, ...]:
        """The factors, `left` first."""
        return tuple(getattr(self, name) for name in self.kind.names())

    def stacked(self) -> KernelFactors:
        """The factors with the groups as their first axis; views of the parameters."""
        return self.kind(*(upcast(factor.unflatten(0, (self.groups, -1))) for factor in self.factor_parameters()))

    def factors(self) -> list[KernelFactors]:
        """The factors of each group; they share memory with the parameters."""
        chunks = [factor.chunk(self.groups) for factor in self.factor_parameters()]
        return [self.kind(*parts) for parts in zip(*chunks, strict=True)]

    @property
    def weight(self) -> Tensor:
        """The kernel (c_out, c_in / groups, k_h, k_w) that the factors multiply to."""
        return torch.cat([factors.product() for factors in self.factors()])

    def collapse(self) -> nn.Conv2d:
        """The ordinary layer with the same outputs (a `Conv2dSame` for `padding="same"` with stride > 1)."""
        layer = self.ordinary()
        adopt_weight(layer, self, self.weight)
        return layer

    def frobenius_penalty(self) -> Tensor:
        """|kernel|_F^2, all groups together, differentiable, from r x r matrices."""
        return self.stacked().squared_norm()

    @torch.no_grad()
    def penalty_gradients(self) -> tuple[Tensor, ...]:
        """Gradients of half the penalty from r x r matrices, shaped like the parameters; the kernel is never formed."""
        return tuple(gradient.flatten(0, 1) for gradient in self.stacked().gradients())

    def multiply_adds(self, input_size: tuple[int, int], output_size: tuple[int, int]) -> int:
        """Multiply-adds of the chain for one image."""
        (height, width), (rows, columns) = input_size, output_size
        pixels = {"input": height * width, "rows": rows * width, "output": rows * columns}
        factors = zip(self.kind.positions, self.factor_parameters(), strict=True)
        return sum(pixels[position] * factor.numel() for position, factor in factors)

    def built(self) -> dict[str, Any]:
        """The form and its ranks."""
        return {"form": self.kind.form, "ranks": list(self.ranks)}

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Conv2d gives it
        if self.execution == "product":
            return self._conv(input, self.weight, self.bias, _BOTH)
        return self.chain(input)

    def chain(self, x: Tensor) -> Tensor:
        """The output by the factors, one convolution each."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, ranks={self.ranks}, "
            f"stride={self.stride}"
        )
        changed = self.changed_options()
        if self.bias is None:
            changed["bias"] = False
        return text + "".join(f", {name}={value!r}" for name, value in changed.items())
