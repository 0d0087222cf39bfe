"""The other networks for small images in the published comparisons: VGG-19 and Wide ResNet 28-10, also separable."""

from typing import Literal

from torch import Tensor, nn

_VGG19 = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


def vgg19_small(num_classes: int = 10) -> nn.Sequential:
    """VGG-19 with batch norm, no biases before it, and one linear layer at the end."""
    layers: list[nn.Module] = []
    c_in = 3
    for stage, (width, count) in enumerate(_VGG19):
        if stage:
            layers.append(nn.MaxPool2d(2))
        for _ in range(count):
            layers += [
                nn.Conv2d(c_in, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            c_in = width
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, num_classes))
    return _drawn(network, "fan_in")


class WideBlock(nn.Module):
    """Batch norm and ReLU before each of two 3 x 3 convolutions; a 1 x 1 convolution around where widths differ."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(c_in), nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.shortcut = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.relu(self.bn1(x))
        around = x if isinstance(self.shortcut, nn.Identity) else self.shortcut(active)
        return self.conv2(self.relu(self.bn2(self.conv1(active)))) + around


def separable_resnet28_10(num_classes: int = 10) -> nn.Sequential:
    """Wide ResNet 28-10 with a depthwise 3 x 3 and a 1 x 1 convolution for each 3 x 3 convolution of its blocks, which
    published comparisons store as tensors (Gray, Crowley & Storkey 2019, arXiv:1906.04309)."""
    network = wide_resnet28_10(num_classes)
    for block in network:
        if isinstance(block, WideBlock):
            for name, conv in (("conv1", block.conv1), ("conv2", block.conv2)):
                setattr(block, name, _separable(conv))
    return _drawn(network, "fan_out")


def _separable(conv: nn.Conv2d) -> nn.Sequential:
    c_in, c_out = conv.in_channels, conv.out_channels
    depthwise = nn.Conv2d(c_in, c_in, 3, conv.stride[0], 1, groups=c_in, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(c_in, c_out, 1, bias=False))


def wide_resnet28_10(num_classes: int = 10) -> nn.Sequential:
    """Wide ResNet 28-10 (Zagoruyko & Komodakis 2016, arXiv:1605.07146), without dropout."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)]
    c_in = 16
    for stage, width in enumerate((160, 320, 640)):
        for block in range(4):
            layers.append(WideBlock(c_in, width, 2 if stage and block == 0 else 1))
            c_in = width
    tail = [
        nn.BatchNorm2d(c_in),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(c_in, num_classes),
    ]
    return _drawn(nn.Sequential(*layers, *tail), "fan_out")


def _drawn(network: nn.Sequential, mode: Literal["fan_in", "fan_out"]) -> nn.Sequential:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
    return network
