import pytest
import torch
from oracles import pair_expectation

from lrexplore.dual import ACTIVATIONS, hermite


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.2, 0.5), (2.0, -1.0), (0.0, 0.3)])
def test_coefficients_keep_the_energy_and_the_first_is_the_mean(name, scale, shift):
    series, square = hermite.coefficients(ACTIVATIONS[name], torch.tensor([scale]), torch.tensor([shift]))
    shift = float(torch.tensor(shift))
    scale = float(torch.tensor(scale))
    assert float(square) == pytest.approx(pair_expectation(name, 1.0, scale or 1e-9, scale or 1e-9, shift), abs=1e-9)
    missing = float(square - series.square().sum())
    # of a jump a series misses more than of a kink
    most = 2e-2 if name == "hardshrink" else 1e-3
    assert -1e-12 <= missing <= most * float(square)
    mean_squared = pair_expectation(name, 0.0, scale or 1e-9, scale or 1e-9, shift)
    assert float(series[0, 0]) ** 2 == pytest.approx(mean_squared, abs=1e-9)


def test_the_series_is_horners_rule_for_value_and_slope():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 3, 6, generator=generator, dtype=torch.float64)
    rest = torch.rand(3, generator=generator, dtype=torch.float64)
    rho = torch.linspace(-1, 1, 9, dtype=torch.float64).expand(3, -1).clone().requires_grad_()
    expected = sum((first * second)[:, j : j + 1] * rho**j for j in range(6)) + rest[:, None] * rho**6
    (slope_expected,) = torch.autograd.grad(expected.sum(), rho)
    value, slope = hermite.series(rho.detach(), first, second, rest)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(slope, slope_expected)
