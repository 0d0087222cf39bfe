"""Networks in miniature, with every kind of layer that the explorer has to tell apart."""

from collections import OrderedDict

import torch
from torch import nn

STEM, WIDE, GROUPED, DEPTHWISE, POINT, HEAD = "stem", "wide", "grouped", "depthwise", "point", "head"


def small_network() -> nn.Module:
    """A random network for color images: six layers, of which one (depthwise) cannot be factorized.

    Its first matrix has more than 1024 entries: below that `function` takes many starts, and time.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            OrderedDict(
                stem=nn.Conv2d(3, 40, 3, padding=1, bias=False),
                norm=nn.BatchNorm2d(40),
                first=nn.ReLU(),
                wide=nn.Conv2d(40, 16, 3, padding=1),
                second=nn.SiLU(),
                grouped=nn.Conv2d(16, 16, 3, padding=1, groups=2),
                third=nn.ReLU(),
                depthwise=nn.Conv2d(16, 16, 3, padding=1, groups=16),
                point=nn.Conv2d(16, 20, 1),
                fourth=nn.ReLU(),
                pool=nn.AdaptiveAvgPool2d(1),
                flat=nn.Flatten(),
                head=nn.Linear(20, 6),
            )
        )
        nn.init.uniform_(network.norm.weight, 0.5, 1.5)
        nn.init.normal_(network.norm.bias, std=0.3)
    return network.eval()


def trained_network() -> nn.Module:
    """The small network with statistics of its own in its batch norm, which imply inputs of its layers."""
    model = small_network()
    model.norm.running_mean += 0.1
    model.norm.running_var *= 0.5
    return model


def linear_network() -> nn.Module:
    """Two linear layers, 8 x 16 and 6 x 8, with a ReLU between them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 6)).eval()
