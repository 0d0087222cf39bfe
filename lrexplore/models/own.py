"""lrexplore's own networks: those for small images, and scaled EfficientNets."""

from collections.abc import Callable
from functools import partial

from torch import nn

from lrexplore.models.cifar_others import separable_resnet28_10, vgg19_small, wide_resnet28_10
from lrexplore.models.cifar_resnet import CIFAR_RESNETS, cifar_resnet
from lrexplore.models.efficientnet import SCALED, scaled_efficientnet

OWN: dict[str, Callable[..., nn.Module]] = {
    **{name: partial(cifar_resnet, name) for name in CIFAR_RESNETS},
    "vgg19_small": vgg19_small,
    "wide_resnet28_10": wide_resnet28_10,
    "separable_resnet28_10": separable_resnet28_10,
    **{name: partial(scaled_efficientnet, name) for name in SCALED},
}
"""Name -> a function of the number of classes that gives a randomly initialized network."""
