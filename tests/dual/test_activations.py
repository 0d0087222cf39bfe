import math

import pytest
import torch
from oracles import pair_expectation

from lrexplore.dual import ACTIVATIONS, find_activation
from lrexplore.dual.activations import (
    homogeneous_correlation,
    homogeneous_correlation_slope,
    relu_correlation,
    relu_correlation_slope,
)
from lrexplore.dual.quadrature import polar_correlation

RHO = [-0.95, -0.4, 0.0, 0.1, 0.5, 0.9, 0.999, 1.0]


def _at(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_relu_correlation_has_the_values_of_the_table():
    rho = _at(0.01, 0.05, 0.10, 0.20, 0.50).sqrt()
    assert [round(h, 4) for h in relu_correlation(rho).tolist()] == [0.3699, 0.4381, 0.4925, 0.5743, 0.7554]


def test_the_relu_correlation_runs_from_one_over_pi_to_one_and_is_never_below_rho():
    rho = torch.linspace(0, 1, 1001, dtype=torch.float64)
    h = relu_correlation(rho)
    assert float(h[0]) == pytest.approx(1 / math.pi) and float(h[-1]) == pytest.approx(1)
    assert (h >= rho).all()


@pytest.mark.parametrize("name", [name for name, found in ACTIVATIONS.items() if found.leak is not None])
@pytest.mark.parametrize("rho", RHO)
def test_closed_forms_equal_quadrature(name, rho):
    leak = ACTIVATIONS[name].leak
    expected = pair_expectation(name, rho, 1, 1) / pair_expectation(name, 1.0, 1, 1)
    assert float(homogeneous_correlation(_at(rho), leak)) == pytest.approx(expected, abs=1e-9)
    if name == "relu":
        assert float(relu_correlation(_at(rho))) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("leak", [0.0, 0.01, 0.3, 1.0])
def test_slopes_are_finite_differences(leak):
    rho, step = torch.linspace(-0.99, 0.99, 67, dtype=torch.float64), 1e-6
    pairs = [(lambda r: homogeneous_correlation(r, leak), homogeneous_correlation_slope(rho, leak))]
    pairs.append((relu_correlation, relu_correlation_slope(rho)))
    for value, slope in pairs:
        difference = (value(rho + step) - value(rho - step)) / (2 * step)
        torch.testing.assert_close(slope, difference, atol=1e-8, rtol=0)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.5, 1.0])
def test_the_polar_route_of_the_package_agrees_with_the_tests_own(name, rho):
    # kinks inside the radial rule cost the polar route some digits
    expected = pair_expectation(name, rho, 1.3, 0.8, 0.4)
    assert polar_correlation(ACTIVATIONS[name], rho, 1.3, 0.8, 0.4) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_an_activation_says_of_itself_is_true(name):
    found = find_activation(name)
    u = torch.linspace(-9, 9, 3601, dtype=torch.float64)
    value = found.function(u)
    if found.leak is not None:
        torch.testing.assert_close(value, torch.where(u > 0, u, found.leak * u))
    if found.kinks is not None:
        bends = sum(jump * (u - at).clamp_min(0) for at, jump in found.kinks) + 0 * u
        rest = value - bends
        torch.testing.assert_close(rest.diff(), rest.diff()[:1].expand(len(u) - 1), atol=1e-12, rtol=0)
        assert found.breaks == tuple(at for at, _ in found.kinks)
    else:
        third = value.diff(n=3)
        breaks = torch.tensor([*found.breaks, math.inf], dtype=torch.float64)
        away = ((u[:-3, None] - breaks).abs() > 0.02).all(1)
        assert float(third[away].abs().max()) < 1e-6


def test_an_unknown_activation_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="`activation` must be one of identity, relu, .*, got 'swoosh'. Choose"):
        find_activation("swoosh")
