"""The factorized layers that stand for one matrix a group, and those of a model."""

from torch import nn

from lrexplore.nn.conv import FactorizedConv2d
from lrexplore.nn.linear import FactorizedLinear

FACTORIZED = (FactorizedLinear, FactorizedConv2d)


def check_module(model: nn.Module, name: str = "model") -> nn.Module:
    """The module itself. Raises TypeError for anything else."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"`{name}` must be an nn.Module, got a {type(model).__name__}. Load one with `lr.load_model(name)`."
        )
    return model


def factorized_layers(model: nn.Module) -> dict[str, FactorizedLinear | FactorizedConv2d]:
    """Name -> module of the model's factorized layers."""
    return {name: module for name, module in check_module(model).named_modules() if isinstance(module, FACTORIZED)}
