"""A 2-D convolution that stores factor pairs instead of its kernel."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.linalg.factors import Factors
from lrexplore.linalg.matricization import dematricize, matrix_shape
from lrexplore.linalg.rank import check_rank
from lrexplore.nn.conv_options import ConvOptions, options_of
from lrexplore.nn.factorized import FactorPair
from lrexplore.nn.linear import adopt_parameters, adopt_weight, draw_factors


class FactorizedConv2d(ConvOptions, FactorPair):
    """Two convolutions that stand for one `nn.Conv2d`; the bias is added once, after the second.

    `scheme="channel"`: k_h x k_w to `rank` channels a group (stride, padding and dilation here), then 1 x 1.
    `scheme="spatial"`: 1 x k_w, then k_h x 1, each with its own half of stride, padding and dilation.

    Parameters are matrices: `left` (groups m, rank) and `right` (groups rank, n) stack one pair a group,
    where (m, n) is the matrix of one group's kernel (c_out / groups, c_in / groups, k_h, k_w) under the
    scheme. Under `spatial` m counts (channel, kernel row) pairs: `left` has c_out k_h rows.
    `weight` is the kernel they multiply to, formed anew at every read; assign to the factors, not to it.
    `padding="same"` is also allowed with stride > 1: the output then has ceil(input / stride) pixels.
    `execution` says how the same output is computed: by the two "factors", or by their "product", formed at every
    call (see `lrexplore.nn.execution`).
    Raises ValueError when the rank is not in 1..min(m, n).

    >>> layer = lr.FactorizedConv2d(16, 32, 3, rank=4, padding=1)
    >>> layer(torch.zeros(1, 16, 8, 8)).shape, layer.left.shape, layer.right.shape
    (torch.Size([1, 32, 8, 8]), torch.Size([32, 4]), torch.Size([4, 144]))
    """

    bias: nn.Parameter | None
    execution: str = "factors"

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | Sequence[int], rank: int, *,
        scheme: str = "channel",
        stride: int | Sequence[int] = 1, padding: str | int | Sequence[int] = 0, dilation: int | Sequence[int] = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):  # fmt: skip
        super().__init__()
        if not isinstance(bias, bool):
            raise TypeError(f"`bias` must be True or False, got {bias!r}. Choose one of them.")
        self.set_options(
            in_channels, out_channels, kernel_size,
            stride=stride, padding=padding, dilation=dilation, groups=groups, padding_mode=padding_mode,
        )  # fmt: skip
        self.scheme = scheme
        m, n = matrix_shape(self.group_shape, scheme)
        self.rank = check_rank(rank, (m, n))
        kind: dict[str, Any] = {"device": device, "dtype": dtype}
        self.left = nn.Parameter(torch.empty(groups * m, self.rank, **kind))
        self.right = nn.Parameter(torch.empty(groups * self.rank, n, **kind))
        self.register_parameter("bias", nn.Parameter(torch.empty(out_channels, **kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws factors whose product has the variance 1 / (3 fan_in) of a fresh `nn.Conv2d`."""
        _, c_in, k_h, k_w = self.group_shape
        draw_factors(self.left, self.right, self.bias, c_in * k_h * k_w)

    @classmethod
    def from_layer(
        cls, layer: nn.Conv2d, factors: Factors | Sequence[Factors], scheme: str = "channel"
    ) -> "FactorizedConv2d":
        """The factorized layer that stands for `layer`, with a copy of its bias. One `Factors` a group."""
        factors = [factors] if isinstance(factors, Factors) else list(factors)
        group_shape = (layer.out_channels // layer.groups, *layer.weight.shape[1:])
        expected = matrix_shape(group_shape, scheme)
        sizes = sorted({(pair.shape, pair.rank) for pair in factors})
        if len(factors) != layer.groups or [shape for shape, _ in sizes] != [expected]:
            raise ValueError(
                f"`factors` must be {layer.groups} of one rank (one a group) that multiply to {expected} "
                f"under the {scheme} scheme, got {len(factors)} of shapes and ranks {sizes}. "
                "Pass the factors of each group's kernel."
            )
        new = cls(**options_of(layer), rank=factors[0].rank, scheme=scheme, bias=layer.bias is not None, device="meta")
        stacked = {name: torch.cat([getattr(pair, name) for pair in factors]) for name in ("left", "right")}
        adopt_parameters(new, layer, **stacked)
        return new

    def factors(self) -> list[Factors]:
        """One factor pair a group; they share memory with the parameters."""
        pairs = zip(self.left.chunk(self.groups), self.right.chunk(self.groups), strict=True)
        return [Factors(left, right) for left, right in pairs]

    @property
    def weight(self) -> Tensor:
        """The kernel (c_out, c_in / groups, k_h, k_w) that the factors multiply to."""
        kernels = [dematricize(pair.product(), self.group_shape, self.scheme) for pair in self.factors()]
        return torch.cat(kernels)

    def collapse(self) -> nn.Conv2d:
        """The ordinary layer with the same outputs (a `Conv2dSame` for `padding="same"` with stride > 1)."""
        layer = self.ordinary()
        adopt_weight(layer, self, self.weight)
        return layer

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Conv2d gives it
        if self.execution == "product":
            return self._conv(input, self.weight, self.bias, (True, True))
        k_h, k_w = self.kernel_size
        c_in = self.in_channels // self.groups
        # With k_h = 1 both schemes are one matrix, and the channel halves drop the skipped rows earlier.
        if self.scheme == "channel" or k_h == 1:
            x = self._conv(input, self.right.view(-1, c_in, k_h, k_w), None, (True, True))
            return F.conv2d(x, self.left[:, :, None, None], self.bias, groups=self.groups)
        x = self._conv(input, self.right.view(-1, c_in, 1, k_w), None, (False, True))
        column = self.left.view(self.out_channels, k_h, self.rank).transpose(1, 2)[..., None]
        return self._conv(x, column, self.bias, (True, False))

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, rank={self.rank}, "
            f"scheme={self.scheme!r}, stride={self.stride}"
        )
        changed = self.changed_options()
        if self.bias is None:
            changed["bias"] = False
        return text + "".join(f", {name}={value!r}" for name, value in changed.items())
