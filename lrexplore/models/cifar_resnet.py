"""Residual networks for small images: the thin ResNets of He et al., ResNet-32 of four times their width, and ResNet-20
so narrow that it has a tenth or a twentieth of its parameters."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

_DEPTHS = (20, 32, 44, 56, 110)
_NARROW = {"resnet20_tenth": (5, 10, 20), "resnet20_twentieth": (4, 7, 14)}
CIFAR_RESNETS = (*(f"resnet{depth}" for depth in _DEPTHS), "resnet32x2", *_NARROW)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm, and a shortcut around them.

    Where the shape changes the shortcut is every second pixel with channels of zeros before and after (option A,
    no parameters), or a 1 x 1 convolution with batch norm for `projection=True`.
    """

    def __init__(self, c_in: int, c_out: int, stride: int, projection: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.shortcut: nn.Module = nn.Identity()
        if (stride, c_in) != (1, c_out):
            self.shortcut = _projection(c_in, c_out, stride) if projection else Subsample(c_out - c_in, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class Subsample(nn.Module):
    """Every `stride`-th pixel of every row and column, with `channels` more channels of zeros."""

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        before = self.channels // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.channels - before))


class CifarResNet(nn.Module):
    """A stem, three stages of `blocks` basic blocks with these widths, and a classifier (He et al. 2016,
    arXiv:1512.03385, section 4.2). Weights are drawn from Kaiming's normal distribution, fan in."""

    def __init__(self, blocks: int, widths: Sequence[int], num_classes: int, projection: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        c_in = widths[0]
        for stage, c_out in enumerate(widths, 1):
            layers = []
            for block in range(blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                layers.append(BasicBlock(c_in, c_out, stride, projection))
                c_in = c_out
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(c_in, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        for stage in ("layer1", "layer2", "layer3"):
            x = self.get_submodule(stage)(x)
        return self.fc(self.avgpool(x).flatten(1))


def cifar_resnet(name: str, num_classes: int = 10) -> CifarResNet:
    """A randomly initialized network by name (`resnet20` ... `resnet110`, `resnet32x2`)."""
    if name == "resnet32x2":
        return CifarResNet(5, (64, 128, 256), num_classes, projection=True)
    if name in _NARROW:
        return CifarResNet(3, _NARROW[name], num_classes, projection=False)
    if name not in CIFAR_RESNETS:
        raise ValueError(f"`name` must be one of {', '.join(CIFAR_RESNETS)}, got {name!r}. Choose one of them.")
    depth = int(name.removeprefix("resnet"))
    return CifarResNet((depth - 2) // 6, (16, 32, 64), num_classes, projection=False)


def _projection(c_in: int, c_out: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
