"""A convolution whose kernel is a tensor train."""

import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.linalg.tensors import TrainFactors
from lrexplore.nn.tensor.tensor_conv import TensorConv2d


class TrainConv2d(TensorConv2d):
    """1 x 1 to r1 channels a group, k_h x 1 to r2, 1 x k_w to r3, 1 x 1 to the outputs.

    >>> layer = lr.nn.tensor.TrainConv2d(16, 32, 3, ranks=(4, 8, 8), padding=1)
    >>> layer(torch.zeros(1, 16, 8, 8)).shape, layer.rows.shape
    (torch.Size([1, 32, 8, 8]), torch.Size([8, 4, 3]))
    """

    kind = TrainFactors
    left: nn.Parameter
    columns: nn.Parameter
    rows: nn.Parameter
    right: nn.Parameter

    def chain(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.right[:, :, None, None], groups=self.groups)
        x = self._conv(x, self.rows[..., None], None, (True, False))
        x = self._conv(x, self.columns[:, :, None], None, (False, True))
        return F.conv2d(x, self.left[:, :, None, None], self.bias, groups=self.groups)
