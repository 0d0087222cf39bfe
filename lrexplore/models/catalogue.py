"""Networks to train by name: lrexplore's own for small images and scaled EfficientNets, beside torchvision's."""

from torch import nn

from lrexplore.models.architectures import build, known_names, names, nearest
from lrexplore.models.own import OWN


def network(name: str, num_classes: int) -> nn.Module:
    """A randomly initialized network (torch's global generator) in training mode, with so many classes.

    Raises ValueError for an unknown name, with the nearest ones.
    """
    check_network(name)
    return build(name, num_classes).train()


def check_network(name: str) -> None:
    """Raises ValueError, with the nearest names, unless `network` knows the name."""
    if name in known_names():
        return
    close = nearest(name, [*OWN, *names()])
    advice = f"Nearest: {', '.join(close)}." if close else f"lrexplore's own: {', '.join(OWN)}."
    raise ValueError(
        f"`model` must be one of lrexplore's networks or torchvision's classification models, got {name!r}. {advice}"
    )
