"""E s(a z + c) s(b z' + c) by brute quadrature in polar coordinates: slow, for any activation, an oracle."""

from math import pi

import torch

from lrexplore.dual.activations import Activation
from lrexplore.dual.panels import gauss


def polar_correlation(
    activation: Activation, rho: float, a: float, b: float, shift: float = 0.0, num_nodes: int = 2000
) -> float:
    """E s(a z + shift) s(b z' + shift) for standard normal z, z' with correlation `rho`, as a float.

    (z, z') = radius (cos t, cos(t - arccos rho)); trapezoid in t (`num_nodes` points), Gauss-Legendre in the radius,
    cut where the ray meets a break. For spreads of a few units.
    """
    angle = torch.arange(num_nodes, dtype=torch.float64) * (2 * pi / num_nodes)
    turned = angle - torch.arccos(torch.tensor(rho, dtype=torch.float64))
    rays = a * torch.cos(angle)[:, None], b * torch.cos(turned)[:, None]
    breaks = torch.tensor(activation.breaks, dtype=torch.float64) - shift
    ends = torch.tensor([0.0, 9.5], dtype=torch.float64).expand(num_nodes, -1)
    cuts = torch.cat([ends, *(breaks / torch.where(ray == 0, 1.0, ray) for ray in rays)], 1)
    radius, weight = gauss(cuts.clamp(0, 9.5).sort(1).values, 160)
    first, second = (activation.function(ray * radius + shift) for ray in rays)
    return float((weight * radius * torch.exp(-(radius**2) / 2) * first * second).sum(1).mean())
