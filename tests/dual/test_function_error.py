import math
from dataclasses import replace

import pytest
import torch
from matrices import awkward
from oracles import relu_error

from lrexplore.dual import ACTIVATIONS, BatchNorm, find_activation, function_error
from lrexplore.dual.monte_carlo import sampled_function_error
from lrexplore.init import initialize
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


@pytest.mark.parametrize("initializer", ["spectral", "rescaled"])
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_at_full_rank_nothing_is_lost_whatever_the_scale(scale, name, initializer):
    # tanh at weights times a thousand once lost .139 of its energy under `rescaled`
    weight = scale * torch.randn(12, 8, generator=_seeded(), dtype=torch.float64)
    factors = initialize(weight, 8, initializer=initializer, activation=name)
    assert function_error(weight, factors, activation=name) < 1e-6


@pytest.mark.parametrize("scale", [1e3, 1e4])
def test_a_saturated_layer_loses_what_its_signs_lose(scale):
    weight = torch.randn(9, 7, generator=_seeded(), dtype=torch.float64)
    factors = truncate(weight, 3)
    unit, other = (torch.nn.functional.normalize(x, dim=1) for x in (weight, factors.product()))
    # E (sign z - sign z')^2 = 4 P(the signs differ), of an energy of 1 a neuron
    expected = float((4 * torch.arccos((unit * other).sum(1)) / math.pi).mean())
    scaled = Factors(scale * factors.left, factors.right)
    for name in ("tanh", "hardtanh"):
        assert function_error(scale * weight, scaled, activation=name) == pytest.approx(expected, abs=3 / scale)


@pytest.mark.parametrize("with_batch_norm", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_factors_that_are_the_weight_lose_exactly_nothing(name, with_batch_norm):
    batch_norm = _batch_norm(4, _seeded()) if with_batch_norm else None
    zero, eye = torch.zeros(4, 5), torch.eye(4)
    for weight, factors in ((zero, Factors(torch.zeros(4, 1), torch.zeros(1, 5))), (eye, Factors(eye, eye))):
        assert function_error(weight, factors, activation=name, batch_norm=batch_norm) == 0


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 1e-40), (torch.float64, 1e-310)])
@pytest.mark.parametrize("name", ["relu", "tanh", "hardswish", "sigmoid"])
def test_after_batch_norm_a_neuron_of_denormal_numbers_loses_what_one_of_ordinary_numbers_does(name, dtype, size):
    matrix = torch.randn(4, 5, generator=_seeded(), dtype=torch.float64)
    factors = truncate(matrix, 2)
    batch_norm = _batch_norm(4, _seeded(4))
    expected = function_error(matrix, factors, activation=name, batch_norm=batch_norm)
    sizes = torch.tensor([1.0, size, 1.0, size], dtype=torch.float64)[:, None]
    small, left = (sizes * matrix).to(dtype), (sizes * factors.left).to(dtype)
    got = function_error(small, Factors(left, factors.right.to(dtype)), activation=name, batch_norm=batch_norm)
    assert got == pytest.approx(expected, rel=1e-3)  # denormal numbers have few digits


@pytest.mark.parametrize("with_batch_norm", [False, True])
@pytest.mark.parametrize("name", ["relu", "gelu", "hardswish"])
def test_factors_that_are_not_numbers_are_refused_by_name(name, with_batch_norm):
    weight, good, bad = torch.ones(4, 5), torch.ones(4, 2), torch.ones(2, 5)
    what = {"activation": name, "batch_norm": _batch_norm(4, _seeded()) if with_batch_norm else None}
    bad[0, 0], bad[1, 2] = math.nan, math.inf
    with pytest.raises(ValueError, match="`factors.right` must be finite, got 2 NaN or infinite of 10 entries"):
        function_error(weight, Factors(good, bad), **what)
    with pytest.raises(ValueError, match="`factors.left` must be finite, got 8 NaN or infinite of 8 entries"):
        function_error(weight, Factors(good * math.nan, torch.ones(2, 5)), **what)


@pytest.mark.parametrize("name", ["hardswish", "gelu", "elu"])
def test_five_thousand_neurons_after_batch_norm_take_few_values_of_the_activation(name, monkeypatch):
    record, counted = find_activation(name), []

    def function(x):
        counted.append(x.numel())
        return record.function(x)

    monkeypatch.setitem(ACTIVATIONS._records, name, replace(record, function=function))
    generator = _seeded()
    weight = torch.randn(5000, 8, generator=generator)
    batch_norm = BatchNorm(torch.rand(5000, generator=generator) + 0.5, torch.randn(5000, generator=generator))
    factors = truncate(weight, 4)
    function_error(weight, factors, activation=name, batch_norm=batch_norm)
    assert sum(counted) < 2500 * 5000  # a neuron; its table and series, not a quadrature for every pair


def test_bad_weights_factors_and_names_are_refused():
    good, factors = torch.ones(4, 5), Factors(torch.ones(4, 1), torch.ones(1, 5))
    with pytest.raises(ValueError, match="`weight` must be finite, got 20 NaN or infinite of 20"):
        function_error(good * math.nan, factors)
    with pytest.raises(ValueError, match="`factors` must multiply to"):
        function_error(torch.ones(5, 4), factors)
    with pytest.raises(ValueError, match="`activation` must be one of"):
        function_error(good, factors, activation="swish")
