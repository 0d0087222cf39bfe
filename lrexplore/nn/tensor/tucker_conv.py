"""A convolution whose kernel is in Tucker-2 form."""

import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.linalg.tensors import TuckerFactors
from lrexplore.nn.tensor.tensor_conv import TensorConv2d


class TuckerConv2d(TensorConv2d):
    """1 x 1 to r_in channels a group, k_h x k_w to r_out, 1 x 1 to the outputs (Kim et al. 2016, arXiv:1511.06530).

    >>> layer = lr.nn.tensor.TuckerConv2d(16, 32, 3, ranks=(4, 8), padding=1)
    >>> layer(torch.zeros(1, 16, 8, 8)).shape, layer.core.shape
    (torch.Size([1, 32, 8, 8]), torch.Size([8, 4, 3, 3]))
    """

    kind = TuckerFactors
    left: nn.Parameter
    core: nn.Parameter
    right: nn.Parameter

    def chain(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.right[:, :, None, None], groups=self.groups)
        x = self._conv(x, self.core, None, (True, True))
        return F.conv2d(x, self.left[:, :, None, None], self.bias, groups=self.groups)
