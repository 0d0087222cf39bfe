"""Bounds of the gain on cones of lines: never below any line of the cone, and close for narrow ones."""

import pytest
import torch

from lrexplore.proof.chords import Chords, relu_gain
from lrexplore.proof.cones import Cones, largest_on_cone


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def neurons(count, dimension, seed, shortest):
    """Rows of length between `shortest` and 1, and shares of the energy that sum to 1."""
    generator = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize(draw(count, dimension, seed=seed), dim=1)
    length = shortest + (1 - shortest) * torch.rand(count, 1, generator=generator, dtype=torch.float64)
    shares = torch.rand(count, generator=generator, dtype=torch.float64)
    return unit * length, shares / shares.sum()


def lines_within(center, angle, count, seed):
    """Unit vectors (cells, count, k) at up to `angle` from the centers, half of them exactly there."""
    turned = draw(len(center), count, center.shape[1], seed=seed)
    turned -= (turned * center[:, None]).sum(2, keepdim=True) * center[:, None]
    turned = torch.nn.functional.normalize(turned, dim=2)
    part = torch.linspace(0, 2, count, dtype=torch.float64).clamp_max(1)
    reach = angle[:, None, None] * part[:, None]
    return torch.cos(reach) * center[:, None] + torch.sin(reach) * turned


def kept(lines, unit, shares):
    return relu_gain(((lines @ unit.mT) ** 2).clamp(0, 1)) @ shares


@pytest.mark.parametrize("shortest", (1.0, 0.0), ids=("whole neurons", "shortened neurons"))
@pytest.mark.parametrize("dimension", (2, 3, 6))
@pytest.mark.parametrize("count", (1, 2, 7, 40))
def test_no_line_of_a_cone_keeps_more_than_its_bound(count, dimension, shortest):
    unit, shares = neurons(count, dimension, count, shortest)
    cones = Cones(unit, shares, Chords())
    # random centers, centers on neurons and centers orthogonal to the first neuron
    normal = draw(20, dimension, seed=2)
    normal -= (normal @ unit[0])[:, None] * unit[0] / unit[0].square().sum()
    center = torch.nn.functional.normalize(torch.cat([draw(40, dimension, seed=1), unit[:20], normal]), dim=1)
    for angle in (1e-6, 1e-3, 0.02, 0.1, 0.3, 0.7, 1.2):
        angles = torch.full((len(center),), angle, dtype=torch.float64)
        best = kept(lines_within(center, angles, 60, seed=3), unit, shares).amax(1)
        assert bool((cones.bound(center, angles) >= best).all())


def test_bound_of_a_narrow_cone_is_close_to_the_gain_there():
    unit, shares = neurons(300, 6, 5, 1.0)
    center = torch.nn.functional.normalize(draw(50, 6, seed=6), dim=1)
    cones, excess = Cones(unit, shares, Chords()), []
    for angle in (0.2, 0.1, 0.05):
        angles = torch.full((50,), angle, dtype=torch.float64)
        best = kept(lines_within(center, angles, 1000, seed=7), unit, shares).amax(1)
        excess.append(float((cones.bound(center, angles) - best).mean()))
    # second order in the angle for the neurons nearly orthogonal to the center, third for the others
    assert excess[1] < excess[0] / 2.5 and excess[2] < excess[1] / 2.5 and excess[2] < 2e-3


def test_largest_on_a_cone_is_that_of_a_fine_grid():
    angle = torch.linspace(-torch.pi, torch.pi, 20_001, dtype=torch.float64)
    circle = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    root, linear = draw(30, 2, 2), draw(30, 2, seed=1)
    quadratic, center = root @ root.mT, torch.nn.functional.normalize(draw(30, 2, seed=2), dim=1)
    cosine = torch.linspace(0.05, 0.999, 30, dtype=torch.float64)
    value = linear @ circle.mT + torch.einsum("px,cxy,py->cp", circle, quadratic, circle) / 2
    value[center @ circle.mT < cosine[:, None]] = -torch.inf
    best, bound = value.amax(1), largest_on_cone(linear, quadratic, center, cosine)
    assert bool((bound >= best - 1e-9).all())
    # one multiplier of each constraint proves it all where the largest is on the edge of an arc, up to bisection
    assert float((bound - best).median()) < 1e-3
