"""Hermite coefficients of s(a . + c), and E s(a z + c) s(b z' + c) as Mehler's power series in rho = corr(z, z').

The series is cut after a fixed number of terms. What Parseval's identity says is missing is put on the next power,
so the value at rho = 1 is exact and the error elsewhere is below the missing part times rho^terms.
"""

from collections.abc import Iterator
from math import pi, sqrt

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lrexplore.dual.activations import Activation
from lrexplore.dual.panels import gauss, panels_of, width_of

NUM_TERMS = 128
_REACH = 9.0
_NUM_NODES = 256
# A smooth activation turns fast where the spread is above so many times its width.
_FAST = 9.0
# Neurons at once: their nodes stay in a processor's cache.
_CHUNK = 64
# Terms of the series off the diagonal; a correlation of .9 leaves less than .2 of the last of them.
_FEW_TERMS = 16


def coefficients(
    activation: Activation, scale: Float[Tensor, " #neurons"], shift: Float[Tensor, " #neurons"]
) -> tuple[Float64[Tensor, "neurons terms"], Float64[Tensor, " neurons"]]:
    """Orthonormal Hermite coefficients of s(scale z + shift), and E s^2.

    Gauss-Legendre on [-9, 9], cut at the points where s or a derivative of it jumps, and where a smooth s turns if
    it turns fast in units of the spread.
    """
    scale, shift = torch.broadcast_tensors(scale.double(), shift.double())
    breaks = torch.tensor(activation.breaks, dtype=torch.float64, device=scale.device)
    if not activation.breaks and not bool((scale > _FAST * width_of(activation)).any()):
        return _on_shared_nodes(activation, scale, shift)
    # Where an activation has breaks, one that turns slowly needs no other cuts.
    fast = scale > _FAST * width_of(activation)
    series = scale.new_empty(len(scale), NUM_TERMS)
    square = torch.empty_like(scale)
    edges = torch.tensor(panels_of(activation).edges, dtype=torch.float64, device=scale.device)
    for mask, cuts, rule in ((~fast, breaks, (1, 160)), (fast, edges, (24, 16))):
        for rows in mask.nonzero()[:, 0].split(_CHUNK):
            series[rows], square[rows] = _on_own_nodes(activation, scale[rows], shift[rows], cuts, *rule)
    return series, square


def _on_shared_nodes(activation: Activation, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """The coefficients of a smooth activation, by one matrix product."""
    ends = torch.tensor([-_REACH, _REACH], dtype=torch.float64, device=scale.device)
    z, weight = gauss(ends, _NUM_NODES)
    weight = weight * torch.exp(-(z**2) / 2) / sqrt(2 * pi)
    basis = torch.stack(list(_polynomials(z)), 1) * weight[:, None]
    chunks = [
        (value @ basis, value.square() @ weight)
        for a, c in zip(scale.split(16 * _CHUNK), shift.split(16 * _CHUNK), strict=True)
        for value in [activation.function(a[:, None] * z + c[:, None])]
    ]
    return torch.cat([series for series, _ in chunks]), torch.cat([square for _, square in chunks])


def _on_own_nodes(
    activation: Activation, scale: Tensor, shift: Tensor, cuts: Tensor, num_intervals: int, num_nodes: int
) -> tuple[Tensor, Tensor]:
    """The coefficients where each neuron has its cuts, values of the pre-activation, elsewhere."""
    safe = torch.where(scale == 0, 1.0, scale)
    inner = ((cuts - shift[:, None]) / safe[:, None]).clamp(-_REACH, _REACH)
    ends = torch.linspace(-_REACH, _REACH, num_intervals + 1, dtype=torch.float64, device=scale.device)
    z, weight = gauss(torch.cat([inner, ends.expand(len(scale), -1)], 1).sort(1).values, num_nodes)
    value = activation.function(scale[:, None] * z + shift[:, None])
    weighted = value * weight * torch.exp(-(z**2) / 2) / sqrt(2 * pi)
    series = torch.stack([(weighted * polynomial).sum(1) for polynomial in _polynomials(z)], 1)
    return series, (weighted * value).sum(1)


def _polynomials(z: Tensor) -> Iterator[Tensor]:
    """The orthonormal Hermite polynomials at z, from degree 0."""
    previous, current = torch.zeros_like(z), torch.ones_like(z)
    for j in range(NUM_TERMS):
        yield current
        previous, current = current, (z * current - sqrt(j) * previous) / sqrt(j + 1)


def series(
    rho: Float64[Tensor, "neurons points"],
    first: Float64[Tensor, "#neurons terms"],
    second: Float64[Tensor, "#neurons terms"],
    rest: Float64[Tensor, " #neurons"],
) -> tuple[Float64[Tensor, "neurons points"], Float64[Tensor, "neurons points"]]:
    """sum_j first_j second_j rho^j + rest rho^terms, and its derivative, by Horner's rule."""
    product = first * second
    value = rest[:, None].expand_as(rho).clone()
    slope = torch.zeros_like(rho)
    for j in range(product.shape[1] - 1, -1, -1):
        slope = slope * rho + value
        value = value * rho + product[:, j : j + 1]
    return value, slope


def joint_moments(
    activation: Activation, mean: Float[Tensor, " c"], covariance: Float[Tensor, "c c"]
) -> tuple[Float64[Tensor, " c"], Float64[Tensor, "c c"]]:
    """Mean (c,) and covariance (c, c) of s(u) for u ~ N(mean, covariance).

    By Mehler's formula: cov(s(u_i), s(u_j)) = sum over k >= 1 of a_ik a_jk rho_ij^k, with the orthonormal Hermite
    coefficients a_ik of s(mean_i + deviation_i z). Exact on the diagonal; off it cut after 16 terms, what is left
    being put on the last power.
    """
    deviation = covariance.diagonal().double().clamp_min(0).sqrt()
    series, square = coefficients(activation, deviation, mean.double())
    variance = (square - series[:, 0].square()).clamp_min(0)
    safe = deviation.clamp_min(1e-150)
    rho = (covariance.double() / safe / safe[:, None]).clamp(-1, 1)
    rest = (variance - series[:, 1:_FEW_TERMS].square().sum(1)).clamp_min(0).sqrt()
    made, power = torch.zeros_like(rho), torch.ones_like(rho)
    for column in (*series[:, 1:_FEW_TERMS].unbind(1), rest):
        power = power * rho
        made += torch.outer(column, column) * power
    made.diagonal().copy_(variance)
    return series[:, 0], made
