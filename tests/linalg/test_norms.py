import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lrexplore.linalg import (
    SCHEMES,
    Factors,
    compare_rows,
    factor_bound,
    frobenius_error,
    matricize,
    matrix_shape,
    neuron_norms,
    product_norm,
    relative,
    truncate,
)

SIZE = st.integers(1, 10)


def _factors(m, rank, n, dtype=torch.float64):
    generator = torch.Generator().manual_seed(m + 20 * rank + 400 * n)
    left = torch.randn(m, rank, generator=generator, dtype=dtype)
    return Factors(left, torch.randn(rank, n, generator=generator, dtype=dtype))


@given(m=SIZE, rank=SIZE, n=SIZE)
@settings(max_examples=50, deadline=None)
def test_the_factor_bound_is_above_the_nuclear_norm_and_meets_it_when_balanced(m, rank, n):
    factors = _factors(m, rank, n)
    nuclear = float(torch.linalg.matrix_norm(factors.product(), ord="nuc"))
    assert factor_bound(factors) >= nuclear - 1e-10
    assert factor_bound(factors.balanced()) == pytest.approx(nuclear)


@given(m=SIZE, rank=SIZE, n=SIZE)
@settings(max_examples=50, deadline=None)
def test_the_norm_of_a_product_needs_no_product(m, rank, n):
    factors = _factors(m, rank, n)
    assert product_norm(factors) == pytest.approx(float(factors.product().norm()))


@given(m=st.integers(1, 6), rank=st.integers(1, 6), n=SIZE, rows=st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_neurons_are_compared_as_vectors_of_all_their_rows(m, rank, n, rows):
    factors = _factors(m * rows, rank, n)
    matrix = _factors(m * rows, n, n).product()
    found = compare_rows(matrix, factors, rows)
    w, y = matrix.reshape(m, -1), factors.product().reshape(m, -1)
    torch.testing.assert_close(found.weight, w.norm(dim=1))
    torch.testing.assert_close(found.product, y.norm(dim=1))
    torch.testing.assert_close(found.difference, (w - y).norm(dim=1))
    torch.testing.assert_close(found.rho, torch.cosine_similarity(w, y), atol=1e-12, rtol=0)


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e12])
@pytest.mark.parametrize("turn", [1e-2, 1e-4])
def test_a_small_angle_is_seen_in_float32_whatever_the_norms(scale, turn):
    w = torch.tensor([[1.0, 0.0, 0.0]])
    y = torch.tensor([[math.cos(turn), math.sin(turn), 0.0]]) * scale
    found = compare_rows(w, Factors(y, torch.eye(3)))
    assert 1 - float(found.rho) == pytest.approx(1 - math.cos(turn), rel=1e-2)


def test_a_neuron_of_zeros_has_cosine_zero():
    matrix, product = torch.eye(3), torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 2.0]])
    matrix[2] = 0
    assert compare_rows(matrix, Factors(product, torch.eye(3))).rho.tolist() == [1, 0, 0]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_frobenius_error_of_a_truncation_is_the_tail_of_the_spectrum(scheme):
    kernel = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = matricize(kernel, scheme)
    values = torch.linalg.svdvals(matrix)
    for rank in range(1, min(matrix.shape) + 1):
        expected = float(values[rank:].square().sum() / values.square().sum())
        assert frobenius_error(kernel, truncate(matrix, rank)) == pytest.approx(expected, abs=1e-12)


def test_frobenius_error_is_zero_for_nothing_lost_and_infinite_for_something_from_nothing():
    zero = torch.zeros(3, 4)
    assert frobenius_error(zero, Factors(torch.zeros(3, 1), torch.zeros(1, 4))) == 0
    assert frobenius_error(zero, Factors(torch.ones(3, 1), torch.ones(1, 4))) == math.inf
    assert relative(torch.tensor(0.0), torch.tensor(0.0)) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_frobenius_error_is_computed_in_more_than_half_precision(dtype):
    matrix = torch.randn(40, 30, generator=torch.Generator().manual_seed(0)).to(dtype)
    factors = truncate(matrix, 5)
    exact = (matrix.double() - factors.to(torch.float64).product()).square().sum() / matrix.double().square().sum()
    assert frobenius_error(matrix, factors) == pytest.approx(float(exact), rel=1e-4)


def test_neuron_norms_are_float64_and_do_not_overflow():
    huge = torch.full((4, 2), 1e30)
    assert neuron_norms(huge, 2).tolist() == pytest.approx([2e30, 2e30])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused_with_how_many(bad):
    weight = torch.zeros(3, 4)
    weight[1, 2] = weight[0, 0] = bad
    with pytest.raises(ValueError, match="`weight` must be finite, got 2 NaN or infinite of 12 entries. Repair"):
        frobenius_error(weight, Factors(torch.zeros(3, 1), torch.zeros(1, 4)))


def test_every_scheme_of_a_kernel_has_its_frobenius_error():
    kernel = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    for scheme in SCHEMES:
        m, n = matrix_shape(kernel.shape, scheme)
        nothing = Factors(torch.zeros(m, 1), torch.zeros(1, n))
        assert frobenius_error(kernel, nothing) == pytest.approx(1)
