import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matrices import awkward, balance_tolerance, imbalance, some_ranks

from lrexplore.linalg import Decomposition, Factors, balance_orthonormal, truncate


def _tail(matrix, rank):
    """Squared Frobenius norm that no rank-`rank` matrix can reach, by numpy's SVD."""
    return float((np.linalg.svd(matrix.double().numpy(), compute_uv=False)[rank:] ** 2).sum())


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        (name, dtype)
        for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)
        for name in awkward(dtype)
    ],
)
def test_truncation_is_balanced_and_loses_the_tail_of_the_spectrum(name, dtype):
    matrix = awkward(dtype)[name]
    eps = torch.finfo(dtype).eps
    total = float(matrix.double().square().sum())
    for rank in some_ranks(matrix):
        factors = truncate(matrix, rank)
        assert factors.left.dtype == factors.right.dtype == dtype
        lost = float((matrix.double() - factors.to(torch.float64).product()).square().sum())
        assert abs(lost - _tail(matrix, rank)) <= (20 * eps + 200 * eps**2) * total
        assert imbalance(factors) <= balance_tolerance(dtype)


@given(m=st.integers(1, 14), n=st.integers(1, 14), data=st.data())
@settings(max_examples=60, deadline=None)
def test_truncation_equals_numpys(m, n, data):
    rank = data.draw(st.integers(1, min(m, n)))
    matrix = torch.randn(m, n, generator=torch.Generator().manual_seed(m * 100 + n), dtype=torch.float64)
    u, s, vh = np.linalg.svd(matrix.numpy(), full_matrices=False)
    expected = (u[:, :rank] * s[:rank]) @ vh[:rank]
    np.testing.assert_allclose(truncate(matrix, rank).product().numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("name", awkward())
def test_coordinates_times_directions_are_the_projection_and_directions_are_orthonormal(name):
    matrix = awkward()[name]
    for rank in some_ranks(matrix):
        found = Decomposition(matrix, rank)
        right = found.right(rank)
        scale = float(matrix.abs().max())
        torch.testing.assert_close(right @ right.mT, torch.eye(rank, dtype=torch.float64), atol=1e-9, rtol=0)
        projection = matrix @ right.mT
        torch.testing.assert_close(found.coordinates(rank), projection, atol=1e-9 * scale, rtol=0)


@pytest.mark.parametrize("name", ["zero rows, wide", "zero rows, tall"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_zeros_stay_exactly_zero(name, dtype):
    matrix = awkward(dtype)[name]
    dead = ~matrix.any(1)
    for rank in some_ranks(matrix):
        assert not truncate(matrix, rank).left[dead].any()
        assert not Decomposition(matrix, rank).coordinates(rank)[dead].any()


def test_what_is_good_for_a_rank_is_said_and_never_less_than_asked():
    matrix = awkward(torch.float32)["fast decay"]
    assert Decomposition(matrix, 2).good_rank in range(2, 16)
    assert Decomposition(matrix, 16).good_rank == Decomposition(matrix).good_rank == 16


@pytest.mark.parametrize(
    ("name", "rank"), [("exactly low rank, wide", 3), ("rank one", 1), ("all zero", 0), ("tall", 12)]
)
def test_numerical_rank_does_not_count_rounding(name, rank):
    for dtype in (torch.float32, torch.float64):
        assert Decomposition(awkward(dtype)[name]).numerical_rank == rank


@pytest.mark.parametrize("smallest", [1.0, 1e-3, 1e-9, 0.0])
def test_balancing_over_orthonormal_rows_keeps_product_and_dead_neurons_at_any_condition(smallest):
    generator = torch.Generator().manual_seed(0)
    right = torch.linalg.qr(torch.randn(9, 4, generator=generator))[0].mT
    left = torch.randn(12, 4, generator=generator) * torch.tensor([1.0, 0.5, 0.1, smallest])
    left[[2, 5]] = 0
    balanced = balance_orthonormal(left, right)
    assert imbalance(balanced) < 1e-5
    assert not balanced.left[[2, 5]].any()
    torch.testing.assert_close(balanced.product(), Factors(left, right).product(), atol=1e-5, rtol=0)


def test_a_matrix_of_4608_by_512_is_truncated_as_an_svd_would():
    matrix = torch.randn(4608, 512, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(matrix)
    factors = truncate(matrix, 51)
    lost = float((matrix - factors.product()).double().square().sum())
    assert lost == pytest.approx(float(values[51:].double().square().sum()), rel=1e-5)
    assert imbalance(factors) < 1e-5
