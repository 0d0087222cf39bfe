"""Parabolas above the gain of a neuron whose sign is known or not."""

import pytest
import torch

from lrexplore.proof.signed_gain import SignedGain

SHARES = torch.linspace(0, 1, 2001, dtype=torch.float64)


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("leak", (0.0, 0.01, 1.0), ids=("relu", "leaky relu", "identity"))
def test_parabolas_of_a_known_sign_lie_above_the_gain_on_their_interval(leak):
    gain = SignedGain(leak)
    low = draw(4000) ** 2 * 0.99
    high = (low + 2e-3 + draw(4000, seed=1) ** 3).clamp_max(1)
    low[:500], high[500:1000] = 0, 1
    low = torch.minimum(low, high - 2e-3)
    # means that no distribution on the interval has are admitted too
    c, t = 2 * draw(4000, seed=2) - 1, draw(4000, seed=3)
    a, b, d = (x[:, None] for x in gain.majorants(c, t, low, high))
    x = low[:, None] + (high - low)[:, None] * SHARES
    kept, _ = gain.gain_and_slope(x)
    assert float((a + b * x + d * x**2 - kept).min()) >= -1e-10


@pytest.mark.parametrize("leak", (0.0, 0.01, 1.0), ids=("relu", "leaky relu", "identity"))
def test_lines_of_an_unknown_sign_lie_above_the_gain_everywhere(leak):
    gain = SignedGain(leak)
    c, t = 2 * draw(3000, seed=4) - 1, draw(3000, seed=5) ** 4
    a, b, d = gain.majorants(c, t, -torch.ones(3000), torch.ones(3000))
    assert not b.any()
    kept, _ = gain.gain_and_slope(SHARES)
    assert float((a[:, None] + d[:, None] * SHARES**2 - kept).min()) >= -1e-12


def test_majorants_touch_where_all_lines_of_a_mixture_are_one():
    gain = SignedGain(0.0)
    c = torch.linspace(0.03, 0.9, 50, dtype=torch.float64)
    kept, _ = gain.gain_and_slope(c)
    a, b, d = gain.majorants(c, c**2, torch.zeros(50), torch.ones(50))
    near = c <= 0.75  # beyond, z keeps clear of the end of the interval
    assert float((a + b * c + d * c**2 - kept)[near].abs().max()) < 1e-12
    a, _, d = gain.majorants(c, c**2, -torch.ones(50), torch.ones(50))
    above = a + d * c**2 - kept
    # the concave envelope: equal up to t = .18913, then a chord, at most .0149 above
    assert float(above[c**2 < 0.189].max()) < 1e-12 and 0.0147 < float(above.max()) < 0.0150


def test_the_least_parabola_at_a_mixture_is_the_chosen_one():
    gain = SignedGain(0.0)
    one, other, share = draw(3, 200, seed=6)
    c, t = share * one + (1 - share) * other, share * one**2 + (1 - share) * other**2
    low, high = torch.zeros(200), torch.ones(200)
    a, b, d = gain.majorants(c, t, low, high)
    chosen = a + b * c + d * t
    for z in torch.linspace(0.01, 0.74, 60, dtype=torch.float64):
        a, b, d = gain.majorants(z.expand(200), z.square().expand(200), low, high)
        assert float((chosen - (a + b * c + d * t))[(c - t) / (1 - c) < 0.74].max()) <= 1e-12
