import math

import pytest
import torch
from oracles import lbfgs_factors, quadrature_error, relu_error

from lrexplore.dual import ACTIVATIONS, BatchNorm, function_error
from lrexplore.init import Problem, initialize, single_errors
from lrexplore.init.function_space import function
from lrexplore.linalg import SCHEMES, Factors, matricize

# Many starts and a strict end: what is asked is the optimum, not speed.
THOROUGH = {"num_starts": 16, "tolerance": 1e-6, "max_steps": 500}


def _small(seed):
    """A small random weight, of one of three kinds, and a rank below full."""
    generator = torch.Generator().manual_seed(seed)
    m, n = (int(torch.randint(low, high, (1,), generator=generator)) for low, high in ((3, 17), (2, 9)))
    matrix = torch.randn(m, n, generator=generator, dtype=torch.float64)
    if seed % 3 == 1:
        side = max(m, n)
        square = torch.randn(side, side, generator=generator, dtype=torch.float64)
        matrix = torch.linalg.qr(square)[0][:m, :n].contiguous()
    elif seed % 3 == 2:
        centers = torch.randn(3, n, generator=generator, dtype=torch.float64)
        matrix = centers[torch.randint(3, (m,), generator=generator)] + 0.1 * matrix
    rank = int(torch.randint(1, max(2, min(m, n)), (1,), generator=generator))
    return matrix, rank, generator


def _normalized_relu_error(matrix, product, rows=1):
    w, y = (torch.nn.functional.normalize(x.reshape(-1, rows * x.shape[1]), dim=1) for x in (matrix, product))
    return relu_error(w, y)


def _batch_norm(width):
    return BatchNorm(torch.ones(width), torch.zeros(width))


@pytest.mark.parametrize("with_batch_norm", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_step_of_the_power_iteration_increases_the_error(activation, scheme, with_batch_norm):
    generator = torch.Generator().manual_seed(0)
    kernel = 0.3 * torch.randn(9, 5, 3, 3, generator=generator, dtype=torch.float64)
    batch_norm = None
    if with_batch_norm:
        batch_norm = BatchNorm(*(torch.randn(9, generator=generator, dtype=torch.float64) for _ in range(2)))
    problem = Problem.of(kernel, scheme, activation, batch_norm)
    for rank in (1, 5):
        errors = [
            float(single_errors(problem, function(problem, rank, max_steps=steps, tolerance=0.0), rank).function_error)
            for steps in range(9)
        ]
        for before, after in zip(errors, errors[1:], strict=False):
            assert after <= before + 1e-9
        assert errors[-1] < errors[0] or activation == "identity" and not with_batch_norm


@pytest.mark.parametrize("seed", range(12))
def test_without_batch_norm_relu_ends_at_an_lbfgs_optimum(seed):
    matrix, rank, generator = _small(seed)
    best = Factors(*lbfgs_factors(matrix, rank, relu_error, 3, generator))
    ours = function_error(matrix, initialize(matrix, rank, **THOROUGH))
    assert ours <= function_error(matrix, best) * 1.001 + 1e-9
    if seed % 3 == 0:  # one start is enough for independent entries
        assert function_error(matrix, initialize(matrix, rank)) <= function_error(matrix, best) * 1.001 + 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_after_batch_norm_relu_ends_at_an_lbfgs_optimum(seed):
    matrix, rank, generator = _small(seed)
    batch_norm = _batch_norm(len(matrix))
    best = Factors(*lbfgs_factors(matrix, rank, _normalized_relu_error, 3, generator))
    ours = initialize(matrix, rank, batch_norm=batch_norm, **{**THOROUGH, "num_starts": 48})
    least = function_error(matrix, best, batch_norm=batch_norm)
    assert function_error(matrix, ours, batch_norm=batch_norm) <= least * 1.001 + 1e-9


@pytest.mark.parametrize("with_batch_norm", [False, True])
@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "relu"])
def test_every_activation_ends_at_an_lbfgs_optimum(activation, with_batch_norm):
    generator = torch.Generator().manual_seed(3)
    matrix = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    batch_norm = None
    if with_batch_norm:
        batch_norm = BatchNorm(*(torch.randn(7, generator=generator, dtype=torch.float64) for _ in range(2)))
    what = {"activation": activation, "batch_norm": batch_norm}
    best = Factors(*lbfgs_factors(matrix, 2, quadrature_error(activation, batch_norm, 12), 3, generator))
    ours = function_error(matrix, initialize(matrix, 2, num_starts=8, **what), **what)
    assert ours <= function_error(matrix, best, **what) * 1.001


def test_under_spatial_a_kernel_ends_at_an_lbfgs_optimum():
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(8, 4, 3, 2, generator=generator, dtype=torch.float64)
    best = Factors(*lbfgs_factors(matricize(kernel, "spatial"), 3, relu_error, 4, generator, rows=3))
    ours = function_error(kernel, initialize(kernel, 3, scheme="spatial", num_starts=8))
    assert ours <= function_error(kernel, best) * 1.001


def test_orthonormal_neurons_have_the_errors_of_the_theory():
    matrix = torch.eye(20, dtype=torch.float64)
    loss = {
        name: 10 * function_error(matrix, initialize(matrix, 4, initializer=name))
        for name in ("spectral", "rescaled", "function")
    }
    assert loss["spectral"] == pytest.approx(8.00, abs=5e-3)
    assert loss["rescaled"] == pytest.approx(7.19, abs=6e-3)
    assert loss["function"] == pytest.approx(6.70, abs=6e-3)


def test_two_orthogonal_neurons_are_best_met_between_them():
    matrix = torch.tensor([[1.0, 0.0], [0.0, 0.99]], dtype=torch.float64)
    energy = (1 + 0.99**2) / 2
    rescaled = initialize(matrix, 1, initializer="rescaled")
    best = initialize(matrix, 1, tolerance=1e-9, max_steps=1000)
    assert energy * function_error(matrix, rescaled) == pytest.approx(0.4404, abs=5e-5)
    assert energy * function_error(matrix, best) == pytest.approx(0.4178, abs=5e-5)
    x, y = best.right[0].abs().tolist()
    assert math.degrees(math.atan2(y, x)) == pytest.approx(19.7, abs=0.1)


def test_for_a_linear_layer_nothing_beats_the_svd():
    matrix = torch.randn(12, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spectral, ours = (initialize(matrix, 4, initializer=i, activation="identity") for i in ("spectral", "function"))
    torch.testing.assert_close(ours.product(), spectral.product())


def test_after_batch_norm_the_norms_of_the_neurons_do_not_change_the_subspace():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(8, 5, generator=generator, dtype=torch.float64)
    uneven = matrix * torch.logspace(-4, 0, 8, dtype=torch.float64)[:, None]
    batch_norm = _batch_norm(8)
    found = [
        function_error(w, initialize(w, 2, batch_norm=batch_norm, **THOROUGH), batch_norm=batch_norm)
        for w in (matrix, uneven)
    ]
    assert found[1] == pytest.approx(found[0], rel=1e-3)


@pytest.mark.parametrize("shape", [(40, 24), (24, 40)])
def test_float32_finds_what_float64_finds_also_where_the_spectrum_decays(shape):
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(x, 24, generator=generator, dtype=torch.float64))[0] for x in shape)
    matrix = u * torch.arange(1, 25, dtype=torch.float64) ** -1.5 @ v.mT
    batch_norm = _batch_norm(len(matrix))
    for rank in (2, 6, 12):
        for what in ({}, {"batch_norm": batch_norm}):
            exact = function_error(matrix, initialize(matrix, rank, **what), **what)
            single = function_error(matrix, initialize(matrix.float(), rank, **what), **what)
            assert single == pytest.approx(exact, rel=0.01)


def test_more_starts_never_find_less():
    matrix, rank, _ = _small(1)
    errors = [function_error(matrix, initialize(matrix, rank, num_starts=starts)) for starts in (1, 4, 16)]
    assert errors[2] <= errors[1] <= errors[0]


def test_without_a_generator_every_start_is_another_one():
    matrix = torch.eye(8, dtype=torch.float64)
    problem = Problem.of(matrix, "channel", "relu", None)
    drawn = function(problem, 2, generator=torch.Generator().manual_seed(0), num_starts=8)
    eight, two = (function(problem, 2, num_starts=starts) for starts in (8, 2))
    torch.testing.assert_close(eight.product(), drawn.product())
    assert function_error(matrix, eight) < function_error(matrix, two) - 1e-4
