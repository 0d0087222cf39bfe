"""Parabolas and straight lines above the gain of a neuron."""

import pytest
import torch

from lrexplore.dual import BatchNorm, respond
from lrexplore.proof.chords import Chords, relu_gain
from lrexplore.proof.majorants import Majorants

T = torch.linspace(0, 1, 20011, dtype=torch.float64)


def majorants(activation, batch_norm=None):
    norms = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    response = respond(norms, activation, batch_norm)
    return response, Majorants(response, torch.ones(3, dtype=torch.bool))


def exact(response):
    """Gains of the neurons on T, the choice of no output included, as shares of the energy of all."""
    nothing = torch.zeros_like(response.energy)
    off = response.energy - response.loss(nothing, nothing)
    gain = response.gain(T.sqrt().expand(len(nothing), -1))
    return torch.maximum(gain, off[:, None]) / response.energy.sum()


@pytest.mark.parametrize("normalized", (False, True), ids=("plain", "batch norm"))
@pytest.mark.parametrize("activation", ("identity", "relu", "relu6", "silu", "hardswish", "tanh", "sigmoid"))
def test_parabolas_lie_above_the_gain_everywhere(activation, normalized):
    batch_norm = None
    if normalized:
        values = torch.tensor([[1.0, 0.5, 2.0], [0.3, -1.0, 0.0]], dtype=torch.float64)
        batch_norm = BatchNorm(*values)
    response, found = majorants(activation, batch_norm)
    gain = exact(response)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        t, b = torch.rand(2, 3, generator=generator, dtype=torch.float64)
        for slope in (found.best_slope(t, b), torch.randn(3, generator=generator, dtype=torch.float64)):
            parabola = found.offset(slope, b)[:, None] + slope[:, None] * T + b[:, None] * T**2 / 2
            assert float((parabola - gain).min()) >= 0


@pytest.mark.parametrize("activation", ("relu", "leaky_relu", "silu"))
def test_parabolas_of_touching_curvature_touch(activation):
    _, found = majorants(activation)
    for t in torch.linspace(0.05, 0.95, 19, dtype=torch.float64):
        t = t.expand(3)
        b = found.touching_curvature(t)
        slope = found.best_slope(t, b)
        parabola = found.offset(slope, b) + slope * t + b * t**2 / 2
        assert float((parabola - found.gain(t)).max()) < 1e-4


def test_without_curvature_the_envelope_of_relu_is_the_published_one():
    # concave envelope: the gain up to .18913, then the chord to (1, 1), at most .0149 above the gain
    response, found = majorants("relu")
    share = response.energy / response.energy.sum()
    heights = []
    for t in torch.linspace(0.01, 0.99, 99, dtype=torch.float64):
        t, flat = t.expand(3), torch.zeros(3, dtype=torch.float64)
        slope = found.best_slope(t, flat)
        heights.append((found.offset(slope, flat) + slope * t - found.gain(t)) / share)
    heights = torch.stack(heights)
    assert float(heights[:18].max()) < 2e-5
    assert 0.0147 < float(heights.max()) < 0.0150


def test_lines_lie_above_the_relu_gain_on_their_interval():
    generator = torch.Generator().manual_seed(0)
    low, width, place = torch.rand(3, 5000, generator=generator, dtype=torch.float64)
    low[:500], width[500:1000] = 0.0, 1.0
    high = low + (1 - low) * width**3
    offset, slope = Chords().lines(low, low + place * (high - low), high)
    for share in torch.linspace(0, 1, 201, dtype=torch.float64):
        t = (low + share * (high - low)).clamp(0, 1)
        assert float((offset + slope * t - relu_gain(t)).min()) >= -1e-12


def test_lines_close_in_on_the_gain_as_the_interval_shrinks():
    middle = torch.linspace(0.05, 0.9, 50, dtype=torch.float64)
    excess = []
    for width in (0.08, 0.04, 0.02):
        offset, slope = Chords().lines(middle - width / 2, middle, middle + width / 2)
        excess.append(float((offset + slope * middle - relu_gain(middle)).max()))
    assert excess[1] < 0.3 * excess[0] + 1e-9 and excess[2] < 0.3 * excess[1] + 1e-9
