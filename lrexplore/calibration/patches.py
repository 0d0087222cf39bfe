"""The input vectors of a linear layer or a convolution, at some of its output positions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def input_vectors(module: nn.Module, x: Tensor, positions: Tensor | None) -> Tensor:
    """Input vectors (inputs, positions, groups, n) of a call of `module` on `x`.

    For a convolution a vector is the patch (c_in / groups, k_h, k_w), flattened, with its padding; `positions`
    number the output pixels row by row, None for all. Only the wanted patches are copied.
    """
    if not isinstance(module, nn.Conv2d):
        rows = x.reshape(len(x), -1, 1, x.shape[-1]) if x.ndim > 1 else x.reshape(1, 1, 1, -1)
        return rows if positions is None else rows[:, positions]
    windows = _windows(module, x)
    height, width = windows.shape[2:4]
    if positions is None:
        positions = torch.arange(height * width, device=x.device)
    picked = windows[:, :, positions // width, positions % width]
    inputs, channels = picked.shape[:2]
    picked = picked.reshape(inputs, module.groups, channels // module.groups, len(positions), -1)
    return picked.permute(0, 3, 1, 2, 4).flatten(3)


def output_vectors(output: Tensor, positions: Tensor | None, *, is_conv: bool) -> Tensor:
    """Outputs (inputs, positions, channels) of a call at the same positions."""
    if is_conv:
        output = output if output.ndim == 4 else output[None]
        values = output.flatten(2).mT
    else:
        values = output.reshape(len(output), -1, output.shape[-1]) if output.ndim > 1 else output[None, None]
    return values if positions is None else values[:, positions]


def _windows(module: nn.Conv2d, x: Tensor) -> Tensor:
    """A view (inputs, channels, rows, columns, k_h, k_w) of the padded image; nothing is copied but the padding."""
    x = x if x.ndim == 4 else x[None]
    pads = _padding(module, x)
    if any(pads):
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        x = F.pad(x, pads, mode=mode)
    for axis, (size, stride, dilation) in enumerate(
        zip(module.kernel_size, module.stride, module.dilation, strict=True), start=2
    ):
        x = x.unfold(axis, dilation * (size - 1) + 1, stride)
    return x[..., :: module.dilation[0], :: module.dilation[1]]


def _padding(module: nn.Conv2d, x: Tensor) -> list[int]:
    """Pixels (left, right, top, bottom) that the layer puts around its image."""
    from lrexplore.nn.conv_same import is_conv_same, same_padding

    if is_conv_same(module) or module.padding == "same":
        axes = zip(x.shape[-2:], module.kernel_size, module.stride, module.dilation, strict=True)
        before, after = [same_padding(*axis) for axis in axes]
        return [*after, *before]
    rows, columns = (0, 0) if isinstance(module.padding, str) else module.padding
    return [columns, columns, rows, rows]
