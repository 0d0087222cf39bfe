"""E s(a z + c) s(b z' + c) by brute quadrature in polar coordinates: slow, for any activation, an oracle."""

from math import pi

import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from lrexplore.dual.activations import Activation


def polar_correlation(
    activation: Activation, rho: float, a: float, b: float, shift: float = 0.0, num_nodes: int = 2000
) -> float:
    """E s(a z + shift) s(b z' + shift) for standard normal z, z' with correlation `rho`, as a float.

    (z, z') = radius (cos t, cos(t - arccos rho)); trapezoid in t (`num_nodes` points), Gauss-Legendre in the radius.
    """
    node, weight = (torch.from_numpy(x) for x in leggauss(160))
    radius = (node + 1) * 4.75
    angle = torch.arange(num_nodes, dtype=torch.float64) * (2 * pi / num_nodes)
    turned = angle - torch.arccos(torch.tensor(rho, dtype=torch.float64))
    first = activation.function(a * radius[:, None] * torch.cos(angle) + shift)
    second = activation.function(b * radius[:, None] * torch.cos(turned) + shift)
    density: Tensor = weight * 4.75 * radius * torch.exp(-(radius**2) / 2)
    return float((density @ (first * second)).mean())
