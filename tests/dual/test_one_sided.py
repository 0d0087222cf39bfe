"""Closed forms of one Gaussian number before a piecewise linear or quadratic activation."""

import math

import pytest
import torch
from scipy import integrate, stats

from lrexplore.dual import ACTIVATIONS
from lrexplore.dual.one_sided import gaussian_mean, gaussian_square

NAMES = [name for name, found in ACTIVATIONS.items() if found.degree is not None] + ["threshold(0.1, 2)"]


def at(value):
    return torch.tensor([value], dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("scale", "shift"), [(1e-3, 0.2), (0.5, 0.0), (1.0, -2.0), (4.0, 1.5), (1e3, -40.0)])
def test_means_and_energies_equal_quadrature(name, scale, shift):
    record = ACTIVATIONS[name]
    places = [(place - shift) / scale for place in record.breaks]
    cuts = sorted({-12.0, 12.0, *(z for z in places if abs(z) < 12)})

    def expectation(power):
        def integrand(z):
            return float(record.function(at(scale * z + shift))) ** power * stats.norm.pdf(z)

        spans = zip(cuts, cuts[1:], strict=False)
        return sum(integrate.quad(integrand, low, high, epsabs=0, epsrel=1e-11, limit=200)[0] for low, high in spans)

    size = expectation(2)
    assert float(gaussian_mean(record, at(scale), at(shift))) == pytest.approx(expectation(1), abs=1e-9 * size**0.5)
    assert float(gaussian_square(record, at(scale), at(shift))) == pytest.approx(size, rel=1e-9)


@pytest.mark.parametrize("scale", [0.02, 0.05, 0.08])
@pytest.mark.parametrize(("name", "value"), [("softshrink", lambda u: u - 0.5), ("hardshrink", lambda u: u)])
def test_what_reaches_an_activation_only_from_far_out_keeps_its_digits(name, value, scale):
    # at 25, 10 and 6 deviations: the density there times an integral that quadrature sees well
    v = 0.5 / scale
    tail, _ = integrate.quad(
        lambda t: value(0.5 + scale * t) ** 2 * math.exp(-v * t - t * t / 2), 0, 40 / v, epsabs=0, epsrel=1e-12
    )
    total = 2 * stats.norm.pdf(v) * tail
    assert float(gaussian_square(ACTIVATIONS[name], at(scale), at(0.0))) == pytest.approx(total, rel=1e-8)
