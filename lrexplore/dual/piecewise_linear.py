"""E s(a z + c) s(b z' + c) for a piecewise linear s, through one smooth integral over an angle.

By Price's theorem (1958) the second derivative in rho = corr(z, z') is a sum over pairs of kinks of a bivariate
normal density. Two integrations from rho = 0, with rho = sin(phi), leave one integral of a smooth function.
"""

from math import pi, sqrt

import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from lrexplore.dual.activations import Activation

_NUM_NODES = 32


def _density(x: Tensor) -> Tensor:
    return torch.exp(-(x**2) / 2) / sqrt(2 * pi)


def _kinks(activation: Activation) -> tuple[tuple[float, float], ...]:
    assert activation.kinks is not None  # it is piecewise linear
    return activation.kinks


def gaussian_mean(activation: Activation, scale: Tensor, shift: Tensor) -> Tensor:
    """E s(scale z + shift), closed form; `scale` > 0."""
    left_slope, offset = _left_line(activation)
    total = left_slope * shift + offset
    for position, jump in _kinks(activation):
        distance = (shift - position) / scale
        total = total + jump * ((shift - position) * torch.special.ndtr(distance) + scale * _density(distance))
    return total


def gaussian_slope(activation: Activation, scale: Tensor, shift: Tensor) -> Tensor:
    """E s'(scale z + shift), closed form; `scale` > 0."""
    total = torch.full_like(scale + shift, _left_line(activation)[0])
    for position, jump in _kinks(activation):
        total = total + jump * torch.special.ndtr((shift - position) / scale)
    return total


def _left_line(activation: Activation) -> tuple[float, float]:
    """Slope and offset of s left of all its kinks: s(u) = slope u + offset + sum of jumps times relu(u - kink)."""
    far = min((position for position, _ in _kinks(activation)), default=0.0) - 1.0
    points = torch.tensor([far - 1.0, far], dtype=torch.float64)
    low, high = activation.function(points).tolist()
    return high - low, high - (high - low) * far


def correlation(activation: Activation, rho: Tensor, a: Tensor, b: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """E s(a z + shift) s(b z' + shift) and its derivative in rho; float64, broadcast, 0 <= rho <= 1, a, b > 0."""
    value_0 = gaussian_mean(activation, a, shift) * gaussian_mean(activation, b, shift)
    slope_0 = a * b * gaussian_slope(activation, a, shift) * gaussian_slope(activation, b, shift)
    nodes, weights = leggauss(_NUM_NODES)
    end = torch.arcsin(rho)
    value, slope = value_0 + slope_0 * rho, slope_0 + torch.zeros_like(rho)
    for node, weight in zip(nodes, weights, strict=True):
        phi = end * (1 + node) / 2
        sin, cos2 = torch.sin(phi), torch.cos(phi) ** 2
        mass = torch.zeros_like(value)
        for p, jump_p in _kinks(activation):
            for q, jump_q in _kinks(activation):
                x, y = (p - shift) / a, (q - shift) / b
                # the exponent written as a sum of squares: stable where sin(phi) -> 1
                exponent = (x - y) ** 2 / (2 * cos2) + x * y / (1 + sin)
                mass = mass + jump_p * jump_q * torch.exp(-exponent)
        mass = mass * (a * b * weight / (4 * pi)) * end
        slope = slope + mass
        value = value + mass * (rho - sin)
    return value, slope
