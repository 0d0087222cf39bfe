"""Bounds of what a line keeps, by signs of cosines: never below any line, and at the best one in the end."""

from math import pi

import pytest
import torch

from lrexplore.proof.sign_search import SignSearch
from lrexplore.proof.signed_gain import SignedGain


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def neurons(count, dimension, seed):
    unit = torch.nn.functional.normalize(draw(count, dimension, seed=seed), dim=1)
    shares = draw(count, seed=seed + 1000).square()
    return unit, shares / shares.sum()


def kept(gain, lines, unit, shares):
    return gain.gain_and_slope((lines @ unit.mT).abs().clamp_max(1))[0] @ shares


def climb(gain, lines, unit, shares, num_steps=300):
    """Lines (starts, k) moved by power steps to local maxima."""
    for _ in range(num_steps):
        cosines = lines @ unit.mT
        _, slope = gain.gain_and_slope(cosines.abs().clamp_max(1))
        lines = torch.nn.functional.normalize((slope * cosines.sign() * shares) @ unit, dim=1)
    return lines


@pytest.mark.parametrize("leak", (0.0, 0.01), ids=("relu", "leaky relu"))
@pytest.mark.parametrize("seed", range(30))
def test_bound_in_the_plane_is_that_of_a_fine_grid(seed, leak):
    unit, shares = neurons(2 + seed % 10, 2, seed)
    angle = torch.arange(20_000, dtype=torch.float64) * (pi / 20_000)
    grid = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    gain = SignedGain(leak)
    values = kept(gain, grid, unit, shares)
    best = float(values.max())
    found, _ = SignSearch(unit, shares, gain).bound(grid[values.argmax()], best + 1e-3 * (1 - best))
    # a mixture of two lines a thousandth apart is not told from one, and work is limited
    assert best - 1e-12 <= found <= best + 0.12 * (1 - best)


@pytest.mark.parametrize("dimension", (4, 8, 16))
@pytest.mark.parametrize("seed", range(4))
def test_bound_is_close_to_the_best_of_many_climbs(dimension, seed):
    unit, shares = neurons(2 * dimension, dimension, seed)
    gain = SignedGain(0.0)
    starts = torch.cat([torch.nn.functional.normalize(draw(500, dimension, seed=seed + 50), dim=1), unit])
    lines = climb(gain, starts, unit, shares)
    values = kept(gain, lines, unit, shares)
    best = float(values.max())
    found, _ = SignSearch(unit, shares, gain).bound(lines[values.argmax()], best + 1e-3 * (1 - best))
    assert best - 1e-12 <= found <= best + 5e-3 * (1 - best)


def test_bound_of_a_poor_line_is_still_above_the_best_one():
    unit, shares = neurons(30, 10, 7)
    gain = SignedGain(0.0)
    starts = torch.nn.functional.normalize(draw(500, 10, seed=8), dim=1)
    best = float(kept(gain, climb(gain, starts, unit, shares), unit, shares).max())
    found, _ = SignSearch(unit, shares, gain).bound(starts[0], float(kept(gain, starts[:1], unit, shares)[0]))
    assert best <= found <= best + 5e-3


@pytest.mark.parametrize("dimension", (2, 3, 9))
def test_every_node_bounds_the_lines_it_speaks_of(dimension):
    unit, shares = neurons(12, dimension, 20 + dimension)
    gain = SignedGain(0.0)
    search = SignSearch(unit, shares, gain)
    lines = torch.nn.functional.normalize(draw(20_000, dimension, seed=1), dim=1)
    # whole populations of a few climbs, so that every node has some of the best lines near its cosines
    lines = torch.cat([lines, *(climb(gain, lines[:500], unit, shares, steps) for steps in (1, 3, 10, 50))])
    values = kept(gain, lines, unit, shares)
    nodes = search._first_sign(search._root(lines[0], 0.0, float("inf")))
    checked = 0
    for _ in range(5):
        nodes = search._split(nodes)
        for number in range(len(nodes.bounds)):
            cosines = (lines @ unit.mT) * nodes.signs[:, number]
            inside = ((cosines >= nodes.low[:, number]) & (cosines <= nodes.high[:, number])).all(1)
            if inside.any():
                checked += 1
                assert float(nodes.bounds[number]) >= float(values[inside].max())
    assert checked > 10


def test_nodes_of_a_split_cover_their_parent():
    unit, shares = neurons(12, 5, 31)
    search = SignSearch(unit, shares, SignedGain(0.0))
    lines = torch.nn.functional.normalize(draw(2000, 5, seed=2), dim=1)
    first = search._first_sign(search._root(lines[0], 0.0, float("inf")))
    nodes = first
    for _ in range(6):
        nodes = search._split(nodes)
    both = torch.cat([lines @ unit.mT, -lines @ unit.mT])

    def inside(nodes):
        cosines = both[:, :, None] * nodes.signs
        return ((cosines >= nodes.low) & (cosines <= nodes.high)).all(1).any(1)

    covered = inside(nodes)
    assert bool((covered[:2000] | covered[2000:]).all())
    assert torch.equal(covered, inside(first))


def test_linear_neurons_need_no_search():
    unit, shares = neurons(20, 6, 40)
    values, vectors = torch.linalg.eigh(unit.mT @ (shares[:, None] * unit))
    found, nodes = SignSearch(unit, shares, SignedGain(1.0)).bound(vectors[:, -1], float(values[-1]) + 1e-5)
    assert nodes == 1 and 0 <= found - float(values[-1]) <= 1e-5


def test_search_stops_at_its_deadline():
    unit, shares = neurons(96, 16, 41)
    found, nodes = SignSearch(unit, shares, SignedGain(0.0)).bound(unit[0], 0.0, deadline=0.0)
    assert nodes == 1 and found <= 1
