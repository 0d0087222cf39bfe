"""EfficientNets of any width and depth, also for small images."""

from torch import nn
from torchvision.models.efficientnet import EfficientNet, MBConvConfig

# expansion, kernel, stride, channels in, channels out, layers (Tan & Le 2019, arXiv:1905.11946, table 1)
_B0 = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)

SCALED = {"efficientnet_b9": (3.0, 3.2, 0.5, False), "efficientnet_small": (0.5, 0.5, 0.0, True)}
"""Name -> width, depth, dropout, and whether it is cut for images of about 28 pixels.

b9 is the scaling (3.0, 3.2) of Vodrahalli et al. 2022; b7 there is torchvision's, (2.0, 3.1).
"""


def efficientnet(
    width: float, depth: float, num_classes: int = 1000, *, dropout: float = 0.2, small_images: bool = False
) -> nn.Module:
    """EfficientNet-B0 with its widths and depths multiplied, randomly initialized as torchvision does.

    `small_images` halves the image three times instead of five (28 pixels to 4): the stem and the third stage
    keep its size. Stochastic depth is left out there.
    """
    settings = []
    for stage, (expansion, kernel, stride, c_in, c_out, layers) in enumerate(_B0):
        stride = 1 if small_images and stage == 2 else stride
        settings.append(MBConvConfig(expansion, kernel, stride, c_in, c_out, layers, width, depth))
    drop = 0.0 if small_images else 0.2
    network = EfficientNet(settings, dropout, stochastic_depth_prob=drop, num_classes=num_classes)
    if small_images:
        network.features[0][0].stride = (1, 1)
    return network


def scaled_efficientnet(name: str, num_classes: int = 1000) -> nn.Module:
    """One of `SCALED` by its name."""
    width, depth, dropout, small_images = SCALED[name]
    return efficientnet(width, depth, num_classes, dropout=dropout, small_images=small_images)
