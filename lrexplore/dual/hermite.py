"""Hermite coefficients of s(a . + c), and E s(a z + c) s(b z' + c) as Mehler's power series in rho = corr(z, z').

The series is cut after a fixed number of terms. What Parseval's identity says is missing is put on the next power,
so the value at rho = 1 is exact and the error elsewhere is below the missing part times rho^terms.
"""

from math import pi, sqrt

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from lrexplore.dual.activations import Activation

NUM_TERMS = 128
_REACH = 9.0
_NUM_NODES = 256


def coefficients(
    activation: Activation, scale: Float[Tensor, " #neurons"], shift: Float[Tensor, " #neurons"]
) -> tuple[Float64[Tensor, "neurons terms"], Float64[Tensor, " neurons"]]:
    """Orthonormal Hermite coefficients of s(scale z + shift), and E s^2.

    Gauss-Legendre on [-9, 9], cut at the points where s or a derivative of it jumps.
    """
    scale, shift = torch.broadcast_tensors(scale.double(), shift.double())
    z, weight = _nodes(activation, scale, shift)
    value = activation.function(scale[:, None] * z + shift[:, None])
    weighted = value * weight * torch.exp(-(z**2) / 2) / sqrt(2 * pi)
    square = (weighted * value).sum(1)
    previous, current = torch.zeros_like(z), torch.ones_like(z)
    series = []
    for j in range(NUM_TERMS):
        series.append((weighted * current).sum(1))
        previous, current = current, (z * current - sqrt(j) * previous) / sqrt(j + 1)
    return torch.stack(series, 1), square


def _nodes(activation: Activation, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Quadrature nodes and weights, each (neurons, nodes), for the Lebesgue measure on [-9, 9]."""
    node, weight = (torch.from_numpy(np.asarray(x)).to(scale) for x in leggauss(_NUM_NODES))
    safe = torch.where(scale == 0, 1.0, scale)
    inner = [((point - shift) / safe).clamp(-_REACH, _REACH) for point in activation.breaks]
    ends = [torch.full_like(scale, end) for end in (-_REACH, _REACH)]
    cuts = torch.stack([*inner, *ends], 1).sort(1).values
    middle, half = (cuts[:, 1:] + cuts[:, :-1]) / 2, (cuts[:, 1:] - cuts[:, :-1]) / 2
    z = middle[:, :, None] + half[:, :, None] * node
    return z.flatten(1), (half[:, :, None] * weight).flatten(1)


def series(
    rho: Float64[Tensor, "neurons points"],
    first: Float64[Tensor, "neurons terms"],
    second: Float64[Tensor, "neurons terms"],
    rest: Float64[Tensor, " neurons"],
) -> tuple[Float64[Tensor, "neurons points"], Float64[Tensor, "neurons points"]]:
    """sum_j first_j second_j rho^j + rest rho^terms, and its derivative, by Horner's rule."""
    product = first * second
    value = rest[:, None].expand_as(rho).clone()
    slope = torch.zeros_like(rho)
    for j in range(product.shape[1] - 1, -1, -1):
        slope = slope * rho + value
        value = value * rho + product[:, j : j + 1]
    return value, slope
