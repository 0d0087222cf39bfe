"""Branch and bound over subspaces: exact where a fine grid or many starts tell the answer."""

from time import monotonic

import pytest
import torch

from lrexplore.dual import function_error
from lrexplore.init import initialize
from lrexplore.proof.branch_and_bound import Search
from lrexplore.proof.grassmann_cells import Cells
from lrexplore.proof.provable import provable


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_projections(count, dimension, rank, seed=0):
    basis, _ = torch.linalg.qr(draw(count, dimension, rank, seed=seed))
    return basis @ basis.mT


SPACES = pytest.mark.parametrize(
    "rank, dimension", [(1, 2), (1, 3), (2, 3), (1, 5), (3, 4), (2, 4)], ids=lambda x: str(x)
)


@SPACES
def test_cells_cover_every_subspace_within_their_reach(rank, dimension):
    cells = Cells.all(rank, dimension)
    for _ in range(5):
        cells = cells.split()
    centers, angle, overlap = cells.reach()
    inner = torch.einsum("cxy,pxy->pc", centers, random_projections(300, dimension, rank))
    assert bool((inner >= overlap - 1e-12).any(1).all())
    # rank - overlap bounds the sum of sin^2 of the principal angles, and `angle` the largest of them
    assert bool((overlap >= rank - rank * torch.sin(angle) ** 2 - 1e-12).all())


@SPACES
def test_cells_shrink_when_split(rank, dimension):
    cells = Cells.all(rank, dimension)
    before = float(cells.reach()[1].max())
    for _ in range(2 * cells.low.shape[1]):
        cells = cells.split()
    assert float(cells.reach()[1].max()) < 0.6 * before


@SPACES
def test_centers_of_cells_are_projections(rank, dimension):
    points, _, _ = Cells.all(rank, dimension).split().reach()
    assert torch.allclose(points @ points, points) and torch.allclose(points, points.mT)
    traces = points.diagonal(dim1=1, dim2=2).sum(1)
    assert torch.allclose(traces, torch.full_like(traces, rank))


@SPACES
def test_search_is_never_below_any_subspace_and_closes_the_gap(rank, dimension):
    search = Search.of(draw(6, dimension, seed=dimension), rank)
    start = torch.diag((torch.arange(dimension) < rank).double())
    eps = 1e-2 if dimension > 3 else 1e-3
    found = search.run(start, eps, deadline=monotonic() + 60)
    assert found.kept <= found.bound <= found.kept + eps
    best = max(search.kept(point) for point in random_projections(400, dimension, rank, seed=1))
    assert best <= found.bound + 1e-12
    climbed = max(search.kept(search.climb(p)) for p in random_projections(30, dimension, rank, seed=2))
    assert found.kept >= climbed - eps and climbed <= found.bound + 1e-12


@SPACES
def test_cells_of_a_search_cover_all_subspaces_at_every_step(rank, dimension):
    search = Search.of(draw(6, dimension, seed=1), rank)
    points = random_projections(200, dimension, rank, seed=3)
    kept = torch.tensor([search.kept(point) for point in points])
    done, done_bounds = [], []
    for number, state in enumerate(search.steps(points[0], 1e-2, batch=20)):
        done.append(state.dropped)
        done_bounds.append(state.dropped_bounds)
        cells, bounds = state.live, torch.cat([state.bounds, *done_bounds])
        for part in done:
            cells = cells.join(part)
        centers, _, overlap = cells.reach()
        inside = torch.einsum("cxy,pxy->pc", centers, points) >= overlap - 1e-12
        # no subspace keeps more than the bound of any cell whose reach it is in, and every one is in one
        assert bool((torch.where(inside, bounds, torch.inf).amin(1) >= kept).all()) and bool(inside.any(1).all())
        assert state.bound >= float(kept.max())
        if number == 15:
            break


def test_search_that_runs_out_of_time_still_has_a_bound():
    search = Search.of(draw(8, 5), 1)
    start = torch.diag((torch.arange(5) < 1).double())
    found = search.run(start, 1e-6, deadline=0.0)
    best = max(search.kept(search.climb(p)) for p in random_projections(30, 5, 1))
    assert found.bound >= best and found.cells == 5


@pytest.mark.parametrize("seed", range(12))
def test_plane_is_solved_as_a_fine_grid_solves_it(seed):
    weight = draw(3 + seed, 2, seed=seed)
    found = provable(weight, 1, eps=1e-4)
    angle = torch.linspace(0, torch.pi, 40001, dtype=torch.float64)
    lines = torch.stack([torch.cos(angle), torch.sin(angle)])
    norms = torch.linalg.vector_norm(weight, dim=1, keepdim=True)
    rho = ((weight @ lines).abs() / norms).clamp(0, 1)
    h = (torch.sqrt(1 - rho**2) + rho * (torch.pi - torch.arccos(rho))) / torch.pi
    best = float(1 - (norms**2 * h**2).sum(0).max() / norms.square().sum())
    assert found.lower_bound <= best <= found.error + 1e-9
    assert found.error - found.lower_bound <= 1e-4 + 1e-9


def test_two_nearly_equal_neurons_share_a_direction_no_singular_vector_has():
    weight = torch.tensor([[1.0, 0.0], [0.0, 0.99]], dtype=torch.float64)
    found = provable(weight, 1, eps=1e-4)
    spectral = function_error(weight, initialize(weight, 1, initializer="spectral"))
    rescaled = function_error(weight, initialize(weight, 1, initializer="rescaled"))
    assert found.error - 1e-4 <= found.lower_bound <= found.error < rescaled <= spectral


@pytest.mark.parametrize("rank, dimension, eps", [(1, 4, 1e-3), (2, 4, 1e-2), (3, 4, 1e-3)])
def test_many_starts_find_nothing_better(rank, dimension, eps):
    weight = draw(9, dimension, seed=3)
    found = provable(weight, rank, eps=eps)
    assert found.error - found.lower_bound <= eps
    many = initialize(weight, rank, num_starts=50)
    assert found.lower_bound <= function_error(weight, many)
    assert found.error == pytest.approx(function_error(weight, found.factors), rel=1e-9)


def test_directions_past_those_searched_are_counted():
    weight = torch.cat([draw(7, 3, seed=4), 1e-4 * draw(7, 9, seed=5)], 1)
    found = provable(weight, 1, eps=1e-2)
    assert 0 < found.lower_bound <= found.error <= found.lower_bound + 1e-2
    assert found.factors.shape == (7, 12)


def test_large_weights_get_the_certificate():
    weight = draw(30, 24, seed=6).float()
    found = provable(weight, 8)
    assert found.cells == 0 and 0.9 * found.error < found.lower_bound <= found.error
    assert found.factors.left.dtype == torch.float32


def test_progress_is_reported_and_closes_in():
    told, seen = [], []
    weight = torch.eye(5, dtype=torch.float64)
    callbacks = {"progress": lambda *words: told.append(words), "on_batch": lambda *state: seen.append(state)}
    found = provable(weight, 1, eps=1e-5, time_limit_s=1.0, **callbacks)
    cells, errors, bounds = zip(*seen, strict=True)
    assert list(cells) == sorted(cells) and found.cells == cells[-1]
    assert told == [(count, 0, "cells") for count in cells]
    assert list(errors) == sorted(errors, reverse=True) and list(bounds) == sorted(bounds)


@pytest.mark.parametrize("options", ({"eps": 0.0}, {"time_limit_s": -1.0}), ids=("eps", "time"))
def test_limits_that_are_not_positive_are_refused(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be positive"):
        provable(draw(4, 4), 1, **options)


@pytest.mark.parametrize("neurons", (200, 500))
def test_rank_one_in_six_dimensions_takes_some_ten_thousand_cells(neurons):
    found = provable(draw(neurons, 6), 1, eps=1e-3, time_limit_s=300.0)
    assert found.error - found.lower_bound <= 1e-3 + 1e-9
    # straight lines in t took 609,046 for 200 neurons
    assert 0 < found.cells < 60_000
