"""Networks to train by name: lrexplore's own for small images and scaled EfficientNets, beside torchvision's."""

from functools import partial

from torch import nn

from lrexplore.models.architectures import build, names, nearest
from lrexplore.models.cifar_others import vgg19_small, wide_resnet28_10
from lrexplore.models.cifar_resnet import CIFAR_RESNETS, cifar_resnet
from lrexplore.models.efficientnet import SCALED, scaled_efficientnet

OWN = {
    **{name: partial(cifar_resnet, name) for name in CIFAR_RESNETS},
    "vgg19_small": vgg19_small,
    "wide_resnet28_10": wide_resnet28_10,
    **{name: partial(scaled_efficientnet, name) for name in SCALED},
}
"""Name -> a function of the number of classes that gives a randomly initialized network."""


def network(name: str, num_classes: int) -> nn.Module:
    """A randomly initialized network (torch's global generator) in training mode, with so many classes.

    Raises ValueError for an unknown name, with the nearest ones.
    """
    check_network(name)
    return OWN[name](num_classes).train() if name in OWN else build(name, num_classes).train()


def check_network(name: str) -> None:
    """Raises ValueError, with the nearest names, unless `network` knows the name."""
    if name in OWN or name in names():
        return
    close = nearest(name, [*OWN, *names()])
    advice = f"Nearest: {', '.join(close)}." if close else f"lrexplore's own: {', '.join(OWN)}."
    raise ValueError(
        f"`model` must be one of lrexplore's networks or torchvision's classification models, got {name!r}. {advice}"
    )
