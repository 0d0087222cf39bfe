import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matrices import imbalance

from lrexplore.linalg import Factors, fit_squares, upcast

SIZE = st.integers(1, 12)


def _draw(m, rank, n, dtype=torch.float64):
    generator = torch.Generator().manual_seed(m + 100 * rank + 10_000 * n)
    left = torch.randn(m, rank, generator=generator, dtype=torch.float64)
    return Factors(left.to(dtype), torch.randn(rank, n, generator=generator, dtype=torch.float64).to(dtype))


@given(m=SIZE, rank=SIZE, n=SIZE)
@settings(max_examples=60, deadline=None)
def test_balancing_keeps_product_and_shape_and_makes_both_grams_one_descending_diagonal(m, rank, n):
    factors = _draw(m, rank, n)
    balanced = factors.balanced()
    assert (balanced.shape, balanced.rank) == ((m, n), rank)
    torch.testing.assert_close(balanced.product(), factors.product())
    assert imbalance(balanced) < 1e-12
    gram = balanced.right @ balanced.right.mT
    diagonal = gram.diagonal()
    assert (gram - torch.diag(diagonal)).norm() <= 1e-12 * gram.norm()
    assert (diagonal.diff() <= 1e-12 * diagonal[0]).all()


def test_balanced_factors_of_a_zero_product_are_zero():
    balanced = Factors(torch.zeros(4, 2), torch.randn(2, 3, generator=torch.Generator().manual_seed(0))).balanced()
    assert not balanced.left.any() and not balanced.right.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_balancing_keeps_the_dtype(dtype):
    balanced = _draw(5, 3, 4, dtype).balanced()
    assert balanced.left.dtype == balanced.right.dtype == dtype
    assert imbalance(balanced) < 20 * torch.finfo(dtype).eps


def test_factors_know_their_shape_rank_and_number_of_parameters():
    factors = _draw(5, 3, 4)
    assert factors.shape == factors.product().shape == (5, 4)
    assert factors.rank == 3
    assert factors.num_parameters == 5 * 3 + 3 * 4


def test_factors_move_to_another_dtype_together():
    moved = _draw(5, 3, 4).to(torch.float32)
    assert moved.left.dtype == moved.right.dtype == torch.float32


@pytest.mark.parametrize(("left", "right"), [((4, 3), (2, 5)), ((4,), (4, 5)), ((2, 4, 3), (3, 5))])
def test_factors_that_do_not_multiply_are_refused(left, right):
    with pytest.raises(ValueError, match="`left` and `right` must be matrices.*got .*Transpose") as refusal:
        Factors(torch.zeros(left), torch.zeros(right))
    assert str(left) in str(refusal.value) and str(right) in str(refusal.value)


def test_half_precision_is_computed_in_float32_and_extreme_float32_in_float64():
    assert upcast(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.float32
    assert fit_squares(torch.full((2, 2), 0.1)).dtype == torch.float32
    assert fit_squares(torch.zeros(2, 2)).dtype == torch.float32
    for extreme in (1e-24, -1e24):
        assert fit_squares(torch.tensor([[extreme, 0.0]])).dtype == torch.float64
