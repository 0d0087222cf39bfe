"""Modules that hold the factors of a tensor: kernels as chains of convolutions, matrices as tensor trains."""

from lrexplore.nn.tensor.cp_conv import CPConv2d
from lrexplore.nn.tensor.tensor_conv import TensorConv2d
from lrexplore.nn.tensor.train_conv import TrainConv2d
from lrexplore.nn.tensor.train_linear import TrainLinear
from lrexplore.nn.tensor.tucker_conv import TuckerConv2d

CONVS: dict[str, type[TensorConv2d]] = {"tucker": TuckerConv2d, "tt": TrainConv2d, "cp": CPConv2d}
"""Form -> the convolution that holds its factors."""
