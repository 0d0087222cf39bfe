import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matrices import awkward

from lrexplore.dual import ACTIVATIONS, BatchNorm, function_error
from lrexplore.init import INITIALIZERS, NESTED, Problem, each_rank, error_curve, initialize, nested_errors, rank_grid
from lrexplore.linalg import SCHEMES, frobenius_error, matrix_shape


def _kernel(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _assert_curve_is_rank_by_rank(weight, ranks, initializer, tolerance=1e-9, scheme="channel", **what):
    curve = error_curve(weight, initializer=initializer, ranks=ranks, scheme=scheme, **what)
    assert list(curve["rank"]) == list(ranks)
    for row in curve.itertuples():
        factors = initialize(weight, row.rank, initializer=initializer, scheme=scheme, **what)
        assert row.function_error == pytest.approx(
            function_error(weight, factors, **what), rel=tolerance, abs=tolerance
        )
        assert row.frobenius_error == pytest.approx(frobenius_error(weight, factors), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("with_batch_norm", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_all_ranks_at_once_equal_rank_by_rank(activation, scheme, with_batch_norm):
    kernel = 0.4 * _kernel(6, 4, 3, 2)
    batch_norm = None
    if with_batch_norm:
        generator = torch.Generator().manual_seed(1)
        batch_norm = BatchNorm(*(torch.randn(6, generator=generator, dtype=torch.float64) for _ in range(2)))
    problem = Problem.of(kernel, scheme, activation, batch_norm)
    for initializer in NESTED:
        found = nested_errors(problem, initializer, [1, 2, 6])
        for i, single in enumerate(each_rank(problem, initializer, [1, 2, 6])):
            for name in ("function_error", "frobenius_error", "rho", "loss"):
                at_once, alone = getattr(found, name)[..., i], getattr(single, name)[..., 0]
                torch.testing.assert_close(at_once, alone, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", awkward())
def test_awkward_matrices_have_the_same_curve_rank_by_rank(name, dtype):
    matrix = awkward(dtype)[name]
    tolerance = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 3e-2}[dtype]
    for initializer in NESTED:
        _assert_curve_is_rank_by_rank(matrix, sorted({1, min(matrix.shape)}), initializer, tolerance)


def test_rows_of_zeros_before_batch_norm_have_the_same_curve_rank_by_rank():
    for name in ("zero rows, wide", "zero rows, tall"):
        matrix = awkward()[name]
        batch_norm = BatchNorm(torch.ones(len(matrix)), torch.full((len(matrix),), 0.5))
        for initializer in NESTED:
            _assert_curve_is_rank_by_rank(matrix, (1, 5, 12), initializer, batch_norm=batch_norm)


@given(shape=st.tuples(*(st.integers(1, high) for high in (6, 5, 3, 3))), scheme=st.sampled_from(SCHEMES))
@settings(max_examples=25, deadline=None)
def test_curves_of_every_shape_end_at_zero_and_fall_with_rank(shape, scheme):
    kernel = _kernel(*shape, seed=sum(shape))
    for initializer in ("spectral", "rescaled"):
        curve = error_curve(kernel, initializer=initializer, scheme=scheme)
        assert list(curve["rank"]) == list(range(1, min(matrix_shape(shape, scheme)) + 1))
        assert (curve["function_error"].diff().dropna() <= 1e-12).all()
        assert curve["function_error"].iloc[-1] == pytest.approx(0, abs=1e-12)
        assert curve["frobenius_error"].iloc[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("initializer", ["function", "sampled"])
def test_other_initializers_are_run_at_each_rank(initializer):
    brief = {"num_inputs": 50, "batch_size": 10, "steps_per_epoch": 3, "num_epochs": 1}
    options = brief if initializer == "sampled" else {}
    kernel = _kernel(5, 4, 2, 2)
    curve = error_curve(kernel, initializer=initializer, ranks=[3, 1], **options)
    for row in curve.itertuples():
        factors = initialize(kernel, row.rank, initializer=initializer, **options)
        assert row.function_error == pytest.approx(function_error(kernel, factors), rel=1e-9)
        assert row.frobenius_error == pytest.approx(frobenius_error(kernel, factors), rel=1e-9)


@pytest.mark.parametrize("initializer", NESTED)
def test_the_losses_of_the_neurons_add_up_to_the_function_error(initializer):
    problem = Problem.of(_kernel(7, 4, 3, 3), "spatial", "silu", None)
    found = nested_errors(problem, initializer, [1, 4, 12])
    assert found.rho.shape == found.loss.shape == (7, 3)
    torch.testing.assert_close(found.loss.sum(0), found.function_error)


def test_a_decomposition_serves_all_the_ranks_it_is_good_for():
    problem = Problem.of(_kernel(20, 12), "channel", "relu", None)
    first = problem.decomposition(1)
    assert problem.decomposition(first.good_rank) is first
    assert len(list(each_rank(problem, "function", range(1, first.good_rank + 1)))) == first.good_rank
    assert problem.decomposition(1) is first


@given(max_rank=st.integers(1, 3000), num_points=st.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_a_rank_grid_ascends_from_one_to_full_rank_with_as_many_points_as_asked(max_rank, num_points):
    grid = rank_grid(max_rank, num_points)
    assert grid == sorted(set(grid))
    assert len(grid) == min(max_rank, num_points)
    assert grid[0] == 1 and (grid[-1] == max_rank or num_points == 1)


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_bad_ranks_are_refused(initializer):
    for ranks, message in (([], "`ranks` must name at least one rank"), ([2, 7], "`rank` must be .* got 7")):
        with pytest.raises(ValueError, match=message):
            error_curve(torch.ones(4, 6), initializer=initializer, ranks=ranks)


def test_a_curve_takes_the_options_of_its_initializer_and_no_others():
    weight = _kernel(6, 8)
    with pytest.raises(TypeError, match="`max_stps` must be an option .*, got 'spectral', which has none"):
        error_curve(weight, initializer="spectral", max_stps=3)
    with pytest.raises(ValueError, match="`calibration` must be given for the initializer 'whitened', got None"):
        error_curve(weight, initializer="whitened")
