"""A 2-D convolution that stores factor pairs instead of its kernel."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.linalg.factors import Factors
from lrexplore.linalg.matricization import dematricize, matrix_shape
from lrexplore.linalg.rank import check_rank, check_size
from lrexplore.nn.conv_same import Conv2dSame, is_conv_same, same_padding
from lrexplore.nn.factorized import FactorPair
from lrexplore.nn.linear import adopt_parameters, adopt_weight, draw_factors

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class FactorizedConv2d(FactorPair):
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
    padding: str | tuple[int, int]
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
        _check_options(in_channels, out_channels, groups, padding, padding_mode)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = (
            _pair(size, name)
            for size, name in ((kernel_size, "kernel_size"), (stride, "stride"), (dilation, "dilation"))
        )
        self.padding = padding if isinstance(padding, str) else _pair(padding, "padding", 0)
        self.padding_mode, self.scheme = padding_mode, scheme
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
        padding = "same" if is_conv_same(layer) else layer.padding
        group_shape = (layer.out_channels // layer.groups, *layer.weight.shape[1:])
        expected = matrix_shape(group_shape, scheme)
        sizes = sorted({(pair.shape, pair.rank) for pair in factors})
        if len(factors) != layer.groups or [shape for shape, _ in sizes] != [expected]:
            raise ValueError(
                f"`factors` must be {layer.groups} of one rank (one a group) that multiply to {expected} "
                f"under the {scheme} scheme, got {len(factors)} of shapes and ranks {sizes}. "
                "Pass the factors of each group's kernel."
            )
        new = cls(
            layer.in_channels, layer.out_channels, layer.kernel_size, factors[0].rank, scheme=scheme,
            stride=layer.stride, padding=padding, dilation=layer.dilation, groups=layer.groups,
            bias=layer.bias is not None, padding_mode=layer.padding_mode, device="meta",
        )  # fmt: skip
        left = torch.cat([pair.left for pair in factors])
        adopt_parameters(new, layer, left, torch.cat([pair.right for pair in factors]))
        return new

    @property
    def group_shape(self) -> tuple[int, int, int, int]:
        """The shape (c_out / groups, c_in / groups, k_h, k_w) of one group's kernel."""
        return self.out_channels // self.groups, self.in_channels // self.groups, *self.kernel_size

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
        strided_same = self.padding == "same" and self.stride != (1, 1)
        kind = Conv2dSame if strided_same else nn.Conv2d
        padding: Any = 0 if strided_same else self.padding
        mode: Any = self.padding_mode
        layer = kind(
            self.in_channels, self.out_channels, self.kernel_size, self.stride, padding, self.dilation,
            self.groups, self.bias is not None, mode, device="meta",
        )  # fmt: skip
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

    def _conv(self, x: Tensor, kernel: Tensor, bias: Tensor | None, axes: tuple[bool, bool]) -> Tensor:
        """The convolution with this layer's stride, padding and dilation on the chosen (rows, columns)."""
        stride = [s if use else 1 for s, use in zip(self.stride, axes, strict=True)]
        dilation = [d if use else 1 for d, use in zip(self.dilation, axes, strict=True)]
        pads = [pad if use else (0, 0) for pad, use in zip(self._padding(x.shape[-2:]), axes, strict=True)]
        symmetric = all(before == after for before, after in pads)
        if self.padding_mode == "zeros" and symmetric:
            padding = [before for before, _ in pads]
            return F.conv2d(x, kernel, bias, stride, padding, dilation, self.groups)
        if pads != [(0, 0), (0, 0)]:
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x = F.pad(x, (*pads[1], *pads[0]), mode=mode)
        return F.conv2d(x, kernel, bias, stride, 0, dilation, self.groups)

    def _padding(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Pixels (before, after) of the rows and of the columns."""
        if self.padding == "same":
            axes = zip(sizes, self.kernel_size, self.stride, self.dilation, strict=True)
            return [same_padding(*axis) for axis in axes]
        amounts = (0, 0) if isinstance(self.padding, str) else self.padding
        return [(amount, amount) for amount in amounts]

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, rank={self.rank}, "
            f"scheme={self.scheme!r}, stride={self.stride}"
        )
        defaults = {"padding": (0, 0), "dilation": (1, 1), "groups": 1, "padding_mode": "zeros", "execution": "factors"}
        changed = {name: getattr(self, name) for name in defaults if getattr(self, name) != defaults[name]}
        if self.bias is None:
            changed["bias"] = False
        return text + "".join(f", {name}={value!r}" for name, value in changed.items())


def _pair(value: Any, name: str, low: int = 1) -> tuple[int, int]:
    if isinstance(value, tuple | list) and len(value) == 2:
        return check_size(value[0], name, low), check_size(value[1], name, low)
    return check_size(value, name, low), check_size(value, name, low)


def _check_options(
    in_channels: int, out_channels: int, groups: int, padding: str | int | Sequence[int], padding_mode: str
) -> None:
    for size, name in ((in_channels, "in_channels"), (out_channels, "out_channels"), (groups, "groups")):
        check_size(size, name)
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"`groups` must divide `in_channels` and `out_channels` ({in_channels} and {out_channels}), "
            f"got {groups}. Choose a common divisor."
        )
    if isinstance(padding, str) and padding not in ("same", "valid"):
        raise ValueError(f"`padding` must be 'same', 'valid' or numbers, got {padding!r}. Choose one of them.")
    if not isinstance(padding_mode, str) or padding_mode not in PADDING_MODES:
        raise ValueError(
            f"`padding_mode` must be one of {', '.join(PADDING_MODES)}, got {padding_mode!r}. Choose one of them."
        )
