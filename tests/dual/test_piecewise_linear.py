import pytest
import torch
from oracles import pair_expectation

from lrexplore.dual import ACTIVATIONS
from lrexplore.dual.one_sided import gaussian_mean, gaussian_slope
from lrexplore.dual.piecewise_linear import correlation

NAMES = [name for name, found in ACTIVATIONS.items() if found.kinks is not None]


def _at(value):
    return torch.tensor([value], dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("a", "b", "shift"), [(1, 1, 0), (2, 0.5, 1), (0.3, 3, -2), (4, 4, 3)])
def test_the_angle_integral_equals_quadrature_and_its_slope_is_its_derivative(name, a, b, shift):
    for rho in (0.0, 0.3, 0.8, 0.97):
        value, slope = correlation(ACTIVATIONS[name], _at(rho), _at(a), _at(b), _at(shift))
        assert float(value) == pytest.approx(pair_expectation(name, rho, a, b, shift), abs=1e-7)
        step = 1e-5
        low, high = (correlation(ACTIVATIONS[name], _at(rho + s), _at(a), _at(b), _at(shift))[0] for s in (-step, step))
        assert float(slope) == pytest.approx(float((high - low) / (2 * step)), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.4, 1.5), (3.0, -2.0)])
def test_gaussian_mean_and_its_slope_equal_quadrature(name, scale, shift):
    mean = float(gaussian_mean(ACTIVATIONS[name], _at(scale), _at(shift)))
    assert mean**2 == pytest.approx(pair_expectation(name, 0.0, scale, scale, shift), abs=1e-9)
    step = 1e-5
    moved = [float(gaussian_mean(ACTIVATIONS[name], _at(scale), _at(shift + s))) for s in (-step, step)]
    slope = float(gaussian_slope(ACTIVATIONS[name], _at(scale), _at(shift)))
    assert slope == pytest.approx((moved[1] - moved[0]) / (2 * step), abs=1e-8)
