"""What a convolution is told beside its kernel, for modules that make the kernel of something else."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.linalg.rank import check_size
from lrexplore.nn.conv_same import Conv2dSame, is_conv_same, same_padding

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def options_of(layer: nn.Conv2d) -> dict[str, Any]:
    """The arguments of `ConvOptions.set_options` that say what a convolution is."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups", "padding_mode")
    padding = "same" if is_conv_same(layer) else layer.padding
    return {**{name: getattr(layer, name) for name in names}, "padding": padding}


class ConvOptions(nn.Module):
    """A module that convolves as an `nn.Conv2d` of these options would; `padding="same"` also with stride > 1."""

    padding: str | tuple[int, int]
    execution: str

    def set_options(
        self, in_channels: int, out_channels: int, kernel_size: int | Sequence[int], *,
        stride: int | Sequence[int] = 1, padding: str | int | Sequence[int] = 0, dilation: int | Sequence[int] = 1,
        groups: int = 1, padding_mode: str = "zeros",
    ) -> None:  # fmt: skip
        """Keeps the options. Raises ValueError for what no convolution has."""
        _check_options(in_channels, out_channels, groups, padding, padding_mode)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = (
            _pair(size, name)
            for size, name in ((kernel_size, "kernel_size"), (stride, "stride"), (dilation, "dilation"))
        )
        self.padding = padding if isinstance(padding, str) else _pair(padding, "padding", 0)
        self.padding_mode = padding_mode

    @property
    def group_shape(self) -> tuple[int, int, int, int]:
        """The shape (c_out / groups, c_in / groups, k_h, k_w) of one group's kernel."""
        return self.out_channels // self.groups, self.in_channels // self.groups, *self.kernel_size

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """The shape (c_out, c_in / groups, k_h, k_w) of the kernel that the layer stands for."""
        return self.out_channels, *self.group_shape[1:]

    def ordinary(self) -> nn.Conv2d:
        """A convolution of these options without values (a `Conv2dSame` for `padding="same"` with stride > 1)."""
        strided_same = self.padding == "same" and self.stride != (1, 1)
        kind = Conv2dSame if strided_same else nn.Conv2d
        padding: Any = 0 if strided_same else self.padding
        mode: Any = self.padding_mode
        has_bias = self.bias is not None
        return kind(
            self.in_channels, self.out_channels, self.kernel_size, self.stride, padding, self.dilation,
            self.groups, has_bias, mode, device="meta",
        )  # fmt: skip

    def changed_options(self) -> dict[str, Any]:
        """The options that are not the usual ones."""
        defaults = {"padding": (0, 0), "dilation": (1, 1), "groups": 1, "padding_mode": "zeros", "execution": "factors"}
        return {name: getattr(self, name) for name in defaults if getattr(self, name) != defaults[name]}

    def _conv(
        self, x: Tensor, kernel: Tensor, bias: Tensor | None, axes: tuple[bool, bool], groups: int | None = None
    ) -> Tensor:
        """The convolution with this layer's stride, padding and dilation on the chosen (rows, columns)."""
        groups = self.groups if groups is None else groups
        stride = [s if use else 1 for s, use in zip(self.stride, axes, strict=True)]
        dilation = [d if use else 1 for d, use in zip(self.dilation, axes, strict=True)]
        pads = [pad if use else (0, 0) for pad, use in zip(self._padding(x.shape[-2:]), axes, strict=True)]
        symmetric = all(before == after for before, after in pads)
        if self.padding_mode == "zeros" and symmetric:
            padding = [before for before, _ in pads]
            return F.conv2d(x, kernel, bias, stride, padding, dilation, groups)
        if pads != [(0, 0), (0, 0)]:
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x = F.pad(x, (*pads[1], *pads[0]), mode=mode)
        return F.conv2d(x, kernel, bias, stride, 0, dilation, groups)

    def _padding(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Pixels (before, after) of the rows and of the columns."""
        if self.padding == "same":
            axes = zip(sizes, self.kernel_size, self.stride, self.dilation, strict=True)
            return [same_padding(*axis) for axis in axes]
        amounts = (0, 0) if isinstance(self.padding, str) else self.padding
        return [(amount, amount) for amount in amounts]


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
