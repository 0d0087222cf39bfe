"""What an activation makes of jointly normal numbers."""

import pytest
import torch

from lrexplore.dual import find_activation
from lrexplore.dual.hermite import joint_moments
from lrexplore.dual.quadrature import polar_correlation


@pytest.mark.parametrize("name", ["relu", "relu6", "silu", "hardswish", "tanh"])
def test_moments_equal_quadrature(name):
    activation = find_activation(name)
    shift, deviation = 0.4, torch.tensor([0.7, 1.6, 3.0], dtype=torch.float64)
    rho = torch.tensor([[1, 0.5, -0.6], [0.5, 1, 0.2], [-0.6, 0.2, 1]], dtype=torch.float64)
    mean = torch.full((3,), shift, dtype=torch.float64)
    made_mean, made = joint_moments(activation, mean, rho * torch.outer(deviation, deviation))
    for i in range(3):
        for j in range(3):
            product = polar_correlation(activation, float(rho[i, j]), float(deviation[i]), float(deviation[j]), shift)
            wanted = product - float(made_mean[i] * made_mean[j])
            assert float(made[i, j]) == pytest.approx(wanted, abs=2e-4 * float(made[i, i] * made[j, j]) ** 0.5)


def test_each_number_has_its_own_mean():
    mean = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    covariance = torch.tensor([[1, 0.8, 0.3], [0.8, 2, 0.1], [0.3, 0.1, 0.5]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    root = torch.linalg.cholesky(covariance)
    drawn = (mean + torch.randn(400_000, 3, generator=generator, dtype=torch.float64) @ root.mT).relu()
    made_mean, made = joint_moments(find_activation("relu"), mean, covariance)
    torch.testing.assert_close(made_mean, drawn.mean(0), atol=6e-3, rtol=0)
    torch.testing.assert_close(made, drawn.mT.cov(), atol=1e-2, rtol=0)


def test_a_number_that_does_not_vary_stays_one():
    covariance = torch.diag(torch.tensor([0.0, 1.0], dtype=torch.float64))
    mean, made = joint_moments(find_activation("relu"), torch.tensor([0.5, 0.0]), covariance)
    assert float(mean[0]) == pytest.approx(0.5) and float(made[0].abs().max()) < 1e-12
