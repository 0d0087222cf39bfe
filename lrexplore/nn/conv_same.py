"""A convolution padded the way TensorFlow pads: the output has ceil(input / stride) pixels."""

import torch.nn.functional as F
from torch import Tensor, nn


def same_padding(size: int, kernel_size: int, stride: int, dilation: int) -> tuple[int, int]:
    """The padding (before, after) of one axis of `size` pixels for an output of ceil(size / stride) pixels.

    At stride 1 it does not depend on the size and equals PyTorch's `padding="same"`.
    """
    extent = dilation * (kernel_size - 1)
    total = extent if stride == 1 else max((-(-size // stride) - 1) * stride + extent + 1 - size, 0)
    return total // 2, total - total // 2


class Conv2dSame(nn.Conv2d):
    """`nn.Conv2d` padded by `same_padding`, which PyTorch's own `padding="same"` refuses for stride > 1.

    timm's class of this name is the same function; collapsing a factorized one gives this class.
    """

    def forward(self, input: Tensor) -> Tensor:
        sizes = zip(input.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True)
        rows, columns = [same_padding(*size) for size in sizes]
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        x = F.pad(input, (*columns, *rows), mode=mode)
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def is_conv_same(module: nn.Module) -> bool:
    """Whether a module is a `Conv2dSame`, ours or timm's (which need not be installed)."""
    return isinstance(module, nn.Conv2d) and type(module).__name__ == "Conv2dSame"
