"""A convolution whose kernel is in canonical polyadic form."""

import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.linalg.tensors import CPFactors
from lrexplore.nn.tensor.tensor_conv import TensorConv2d


class CPConv2d(TensorConv2d):
    """1 x 1 to r channels a group, depthwise k_h x 1 and 1 x k_w, 1 x 1 (Lebedev et al. 2015, arXiv:1412.6553).

    >>> layer = lr.nn.tensor.CPConv2d(16, 32, 3, ranks=24, padding=1)
    >>> layer(torch.zeros(1, 16, 8, 8)).shape, layer.rows.shape
    (torch.Size([1, 32, 8, 8]), torch.Size([24, 3]))
    """

    kind = CPFactors
    left: nn.Parameter
    columns: nn.Parameter
    rows: nn.Parameter
    right: nn.Parameter

    def chain(self, x: Tensor) -> Tensor:
        channels = len(self.right)
        x = F.conv2d(x, self.right[:, :, None, None], groups=self.groups)
        x = self._conv(x, self.rows[:, None, :, None], None, (True, False), channels)
        x = self._conv(x, self.columns[:, None, None], None, (False, True), channels)
        return F.conv2d(x, self.left[:, :, None, None], self.bias, groups=self.groups)
