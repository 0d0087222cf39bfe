import math

import pytest
import torch
from matrices import awkward
from oracles import relu_error

from lrexplore.dual import ACTIVATIONS, BatchNorm, function_error
from lrexplore.dual.monte_carlo import sampled_function_error
from lrexplore.linalg import SCHEMES, Factors, frobenius_error, matricize, truncate


def _seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def _kernel(*shape):
    return torch.randn(*shape, generator=_seeded(), dtype=torch.float64) * (shape[1] * shape[2] * shape[3]) ** -0.5


def _batch_norm(width, generator):
    gamma = torch.randn(width, generator=generator, dtype=torch.float64)
    return BatchNorm(gamma, torch.randn(width, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("with_batch_norm", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_function_error_is_what_sampled_inputs_show(name, scheme, with_batch_norm):
    generator = _seeded(1)
    kernel = 1.5 * _kernel(5, 3, 3, 2)
    factors = truncate(matricize(kernel, scheme), 2)
    batch_norm = _batch_norm(5, generator) if with_batch_norm else None
    what = {"activation": name, "batch_norm": batch_norm}
    exact = function_error(kernel, factors, **what)
    seen, standard_error = sampled_function_error(kernel, factors, num_samples=20_000, generator=generator, **what)
    assert abs(exact - seen) < 5 * standard_error
    assert standard_error < 0.05 * exact


@pytest.mark.parametrize("scheme", SCHEMES)
def test_function_error_for_relu_is_the_first_formula(scheme):
    kernel = _kernel(6, 4, 3, 3)
    matrix = matricize(kernel, scheme)
    generator = _seeded(2)
    left = torch.randn(len(matrix), 3, generator=generator, dtype=torch.float64)
    factors = Factors(left, torch.randn(3, matrix.shape[1], generator=generator, dtype=torch.float64))
    expected = relu_error(matrix, factors.product(), len(matrix) // 6)
    assert function_error(kernel, factors) == pytest.approx(float(expected))


@pytest.mark.parametrize("name", awkward())
def test_for_a_linear_layer_function_error_is_frobenius_error(name):
    matrix = awkward()[name]
    generator = _seeded(3)
    left = torch.randn(len(matrix), 1, generator=generator, dtype=torch.float64) * float(matrix.abs().max())
    factors = Factors(left, torch.randn(1, matrix.shape[1], generator=generator, dtype=torch.float64))
    expected = frobenius_error(matrix, factors)
    assert function_error(matrix, factors, activation="identity") == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nothing_is_lost_by_the_layer_itself(name, batch_norm):
    matrix = awkward()["zero rows, wide"]
    batch_norm = _batch_norm(len(matrix), _seeded()) if batch_norm else None
    factors = Factors(matrix, torch.eye(matrix.shape[1], dtype=torch.float64))
    assert function_error(matrix, factors, activation=name, batch_norm=batch_norm) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_after_batch_norm_scale_and_sign_of_gamma_and_norms_of_neurons_do_not_matter(name):
    matrix = torch.randn(6, 8, generator=_seeded(), dtype=torch.float64)
    factors = truncate(matrix, 3)
    gamma, beta = _batch_norm(6, _seeded(4))
    reference = function_error(matrix, factors, activation=name, batch_norm=BatchNorm(gamma, beta))
    mirrored = function_error(matrix, factors, activation=name, batch_norm=BatchNorm(-gamma, beta))
    assert mirrored == pytest.approx(reference, rel=1e-9)
    scales = torch.linspace(0.01, 5, 6, dtype=torch.float64)[:, None]
    scaled = Factors(scales.flip(0) * factors.left, factors.right)
    rescaled = function_error(scales * matrix, scaled, activation=name, batch_norm=BatchNorm(gamma, beta))
    assert rescaled == pytest.approx(reference, rel=1e-9)


def test_only_homogeneous_activations_are_indifferent_to_the_scale_of_the_layer():
    matrix = torch.randn(6, 8, generator=_seeded(), dtype=torch.float64)
    factors = truncate(matrix, 3)
    larger = Factors(4 * factors.left, factors.right)
    for name, found in ACTIVATIONS.items():
        same = function_error(4 * matrix, larger, activation=name) == pytest.approx(
            function_error(matrix, factors, activation=name), rel=1e-6
        )
        assert same == (found.leak is not None)


def test_a_layer_of_zeros_loses_nothing_or_infinitely_much():
    zero = torch.zeros(4, 5)
    assert function_error(zero, Factors(torch.zeros(4, 1), torch.zeros(1, 5))) == 0
    assert function_error(zero, Factors(torch.ones(4, 1), torch.ones(1, 5))) == math.inf


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_function_error_takes_any_floating_dtype(dtype):
    matrix = torch.randn(12, 9, generator=_seeded()).to(dtype)
    factors = truncate(matrix, 4)
    exact = function_error(matrix.double(), factors.to(torch.float64))
    assert function_error(matrix, factors) == pytest.approx(exact, rel=1e-5)


def test_bad_weights_factors_and_names_are_refused():
    good, factors = torch.ones(4, 5), Factors(torch.ones(4, 1), torch.ones(1, 5))
    with pytest.raises(ValueError, match="`weight` must be finite, got 20 NaN or infinite of 20"):
        function_error(good * math.nan, factors)
    with pytest.raises(ValueError, match="`factors` must multiply to"):
        function_error(torch.ones(5, 4), factors)
    with pytest.raises(ValueError, match="`activation` must be one of"):
        function_error(good, factors, activation="swish")
