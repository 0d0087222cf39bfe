"""Where functions bend."""

import math

import pytest
import torch
import torch.nn.functional as F

from lrexplore.dual import ACTIVATIONS
from lrexplore.dual.panels import find_panels, is_monotone, panels_of, width_of


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_breaks_of_every_activation_are_found_without_being_told(name):
    found = find_panels(ACTIVATIONS[name].function)
    assert found.breaks == pytest.approx(ACTIVATIONS[name].breaks, abs=1e-12)
    assert found.reach == 1e5


@pytest.mark.parametrize(
    ("function", "breaks"),
    [
        (lambda u: F.relu(u - math.pi), (math.pi,)),
        (lambda u: (u - 200.5).abs() + (u + 0.001).abs(), (-0.001, 200.5)),
        (lambda u: torch.where(u > 1 / 3, u, torch.zeros_like(u)), (1 / 3,)),
        (lambda u: F.relu(u) ** 2, (0.0,)),
        (lambda u: u.clamp_min(0).sqrt(), (0.0,)),
        (lambda u: torch.tanh(1e3 * u), ()),
        (lambda u: torch.exp(-(u**2)), ()),
    ],
)
def test_kinks_jumps_and_roots_are_breaks_and_steep_is_not(function, breaks):
    assert find_panels(function).breaks == pytest.approx(breaks, abs=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_on_each_interval_a_polynomial_stands_for_the_activation(name):
    edges, breaks, reach = panels_of(ACTIVATIONS[name])
    assert set(breaks) <= set(edges) and (edges[0], edges[-1]) == (-reach, reach)
    function = ACTIVATIONS[name].function
    count = torch.arange(16, dtype=torch.float64)
    nodes = torch.cos((count + 0.5) * (math.pi / 16))
    # barycentric interpolation at Chebyshev nodes
    weights = torch.sin((count + 0.5) * (math.pi / 16)) * (-1.0) ** count
    x = torch.linspace(-0.97, 0.96, 61, dtype=torch.float64)
    kernel = weights / (x[:, None] - nodes)
    for low, high in zip(edges, edges[1:], strict=False):
        middle, half = (low + high) / 2, (high - low) / 2
        seen = function(middle + half * x)
        error = (kernel @ function(middle + half * nodes)) / kernel.sum(1) - seen
        assert float(error.abs().max()) < 1e-7 * max(1, float(seen.abs().max()))


def test_a_wave_is_followed_as_far_as_its_intervals_are_few():
    found = find_panels(torch.sin)
    assert 100 < found.reach < 1e5 and found.breaks == ()


def test_steep_activations_are_narrow_and_falling_ones_not_monotone():
    assert width_of(ACTIVATIONS["hardtanh(-0.01, 0.01)"]) == pytest.approx(0.02)
    assert 0.2 < width_of(ACTIVATIONS["tanh"]) <= 1
    falling = {"silu", "gelu", "gelu_tanh", "quick_gelu", "mish", "hardswish", "hard_mish"}
    assert {name for name, record in ACTIVATIONS.items() if not is_monotone(record)} == falling
