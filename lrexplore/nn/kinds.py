"""The kinds of factorized layers there are, and those of a model."""

from torch import nn

from lrexplore.nn.conv import FactorizedConv2d
from lrexplore.nn.linear import FactorizedLinear

FACTORIZED = (FactorizedLinear, FactorizedConv2d)


def factorized_layers(model: nn.Module) -> dict[str, FactorizedLinear | FactorizedConv2d]:
    """Name -> module of the model's factorized layers."""
    return {name: module for name, module in model.named_modules() if isinstance(module, FACTORIZED)}
