"""What is believed of the channels of a network without any input: moments, and how operations change them.

Positions of one map are taken to be alike, numbers to be jointly normal before an activation, and the branches of a sum
or a product to be independent: mean-field theory with the means and variances that batch norms have stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from jaxtyping import Float64
from torch import Tensor

from lrexplore.dual.activations import Activation
from lrexplore.dual.hermite import joint_moments

IMAGE_LENGTH, MAP_LENGTH = 20.0, 4.0
"""Pixels over which the values of an image, or of a map inside a network, forget each other."""

COLORS = 0.9  # correlation of an image's colors
_POOLED = 0.25  # share of a channel's variance that its mean over a whole map keeps
_SMALLEST_SHARE = 1e-3
MOST_INPUTS = 8192


@dataclass(frozen=True, eq=False)
class Belief:
    """Mean (c,) and covariance (c, c) of the channels at one position, float64.

    `length`: two positions d pixels apart correlate by exp(-d / length).
    """

    mean: Float64[Tensor, " c"]
    covariance: Float64[Tensor, "c c"]
    length: float = MAP_LENGTH

    @classmethod
    def of_images(cls, num_channels: int) -> "Belief":
        """Standardized images: colors correlate, other channels do not."""
        covariance = torch.eye(num_channels, dtype=torch.float64)
        if num_channels == 3:
            covariance = (1 - COLORS) * covariance + COLORS
        return cls(torch.zeros(num_channels, dtype=torch.float64), covariance, IMAGE_LENGTH)

    @classmethod
    def of_nothing(cls, num_channels: int) -> "Belief":
        """White noise of variance 1."""
        return cls(torch.zeros(num_channels, dtype=torch.float64), torch.eye(num_channels, dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.mean)

    def normalized(self, mean: Tensor, variance: Tensor) -> "Belief":
        """The same correlations with other means and variances."""
        ratio = (variance / self.covariance.diagonal().clamp_min(1e-30)).sqrt()
        covariance = self.covariance * torch.outer(ratio, ratio)
        covariance.diagonal().copy_(variance)
        return Belief(mean, covariance)

    def activated(self, activation: Activation) -> "Belief":
        """After an activation."""
        return Belief(*joint_moments(activation, self.mean, self.covariance), self.length)

    def plus(self, other: "Belief") -> "Belief":
        """A sum of two that are independent."""
        return Belief(self.mean + other.mean, self.covariance + other.covariance)

    def times(self, other: "Belief") -> "Belief":
        """A product, channel by channel, of two that are independent."""
        mine, theirs = (belief.covariance + torch.outer(belief.mean, belief.mean) for belief in (self, other))
        mean = self.mean * other.mean
        return Belief(mean, mine * theirs - torch.outer(mean, mean))

    def beside(self, others: Sequence["Belief"]) -> "Belief":
        """Concatenated along the channels, independent."""
        every = (self, *others)
        covariance = torch.block_diag(*(belief.covariance for belief in every))
        return Belief(torch.cat([belief.mean for belief in every]), covariance)

    def pooled(self) -> "Belief":
        """The mean over a whole map."""
        return Belief(self.mean, _POOLED * self.covariance)

    def flattened(self, num_features: int) -> "Belief | None":
        """A map of few positions as one vector, channels first; None where that does not come out even or is large."""
        positions, rest = divmod(num_features, len(self))
        side = round(positions**0.5)
        if rest or side**2 != positions or num_features > MOST_INPUTS:
            return None
        places = correlations((side, side), self.length)
        return Belief(self.mean.repeat_interleave(positions), torch.kron(self.covariance, places))


def correlations(kernel_size: tuple[int, ...], length: float, dilation: tuple[int, ...] = (1, 1)) -> Tensor:
    """The correlations (k, k) of the k positions of a kernel, row by row."""
    steps = [torch.arange(size, dtype=torch.float64) * step for size, step in zip(kernel_size, dilation, strict=True)]
    places = torch.cartesian_prod(*steps)
    return torch.exp(-torch.cdist(places, places) / length)


class Mixing:
    """A linear layer or convolution as it acts on a belief: z = sum over a of W_a x_a, a the kernel's positions.

    In the eigenbasis of the positions' correlations, W x has the covariance sum over q of share_q W_q C W_q^T.
    """

    def __init__(self, module: Any, length: float):
        weight = module.weight.detach().double().cpu()
        self.groups = getattr(module, "groups", 1)
        self.kernel_size = cast(tuple[int, int], tuple(weight.shape[2:]) or (1, 1))
        dilation = getattr(module, "dilation", (1, 1))
        self.places = correlations(self.kernel_size, length, dilation)
        shares, basis = torch.linalg.eigh(self.places)
        kept = shares > _SMALLEST_SHARE * shares[-1]
        self.shares = shares[kept]
        per_place = weight.reshape(len(weight), weight.shape[1], -1)
        self.parts = (per_place @ basis[:, kept]).permute(2, 0, 1).contiguous()  # (q, c_out, c_in / groups)
        self.total = per_place.sum(2)
        self.bias = torch.zeros(len(weight), dtype=torch.float64)
        if module.bias is not None:
            self.bias = module.bias.detach().double().cpu()

    @cached_property
    def num_inputs(self) -> int:
        """Channels that go in."""
        return self.groups * self.total.shape[1]

    def __call__(self, belief: Belief) -> Belief:
        """What comes out."""
        mean = (self.total.unflatten(0, (self.groups, -1)) @ belief.mean.view(self.groups, -1, 1)).flatten() + self.bias
        covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
        rows = belief.covariance.view(self.groups, -1, len(belief))
        for share, part in zip(self.shares, self.parts, strict=True):
            part = part.unflatten(0, (self.groups, -1))
            half = (part @ rows).flatten(0, 1)  # (c_out, c_in)
            covariance += share * torch.einsum("agi,goi->ago", half.view(len(mean), self.groups, -1), part).flatten(1)
        return Belief(mean, covariance)
