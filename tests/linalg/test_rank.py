import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrexplore.linalg import break_even_rank, check_rank, num_factor_parameters, parameter_ratio, rank_from_scale

SHAPE = st.tuples(st.integers(1, 60), st.integers(1, 60))


@given(shape=SHAPE)
def test_break_even_is_the_largest_rank_that_stores_fewer_numbers(shape):
    m, n = shape
    saving = [rank for rank in range(1, min(m, n) + 1) if rank * m + rank * n < m * n]
    assert break_even_rank(shape) == max(saving, default=0)


@given(shape=SHAPE, scale=st.floats(1e-6, 1))
def test_a_rank_scale_gives_the_nearest_rank_from_one_to_full(shape, scale):
    rank = rank_from_scale(shape, scale)
    wanted = scale * min(shape)
    assert 1 <= rank <= min(shape)
    assert abs(rank - wanted) <= 0.5 or (rank == 1 and wanted < 1)
    assert check_rank(rank, shape) == rank


@given(shape=SHAPE, scale=st.floats(1e-6, 1), multiple=st.integers(1, 16))
def test_a_multiple_gives_the_nearest_multiple_that_the_matrix_can_have(shape, scale, multiple):
    rank = rank_from_scale(shape, scale, multiple)
    allowed = [k for k in range(multiple, min(shape) + 1, multiple)] or [min(shape)]
    if rank == min(shape):
        assert multiple > min(shape) or scale * min(shape) >= rank - multiple
    else:
        assert rank in allowed
        assert abs(rank - scale * min(shape)) <= min(abs(k - scale * min(shape)) for k in allowed) + 1e-9


@pytest.mark.parametrize("multiple", [0, -8, 1.5, True])
def test_a_multiple_that_is_no_whole_number_from_one_on_is_refused(multiple):
    with pytest.raises(ValueError, match="`rank_multiple` must be a whole number >= 1"):
        rank_from_scale((8, 8), 0.5, multiple)


@given(shape=SHAPE)
def test_rank_scale_one_is_full_rank(shape):
    assert rank_from_scale(shape, 1) == rank_from_scale(shape, 1.0) == min(shape)


@pytest.mark.parametrize("scale", [0, -0.1, 1.01, 25, math.nan, math.inf])
def test_a_rank_scale_outside_its_range_is_refused(scale):
    with pytest.raises(ValueError, match=r"`rank_scale` must lie in \(0, 1\], got .*Use an explicit rank") as refusal:
        rank_from_scale((8, 8), scale)
    assert str(scale) in str(refusal.value)


@pytest.mark.parametrize("rank", [0, -1, 65, 2.5, True, math.nan, math.inf, "3", "many", None])
def test_a_rank_that_is_no_whole_number_from_one_to_full_is_refused(rank):
    with pytest.raises(ValueError, match=r"`rank` must be a whole number in 1..64 for a 64 x 576 matrix") as refusal:
        check_rank(rank, (64, 576))
    assert f"got {rank!r}. Choose" in str(refusal.value)


def test_a_whole_rank_comes_back_as_an_int():
    assert [type(check_rank(rank, (4, 9))) for rank in (1, 4, 2.0)] == [int, int, int]


@given(shape=SHAPE, rank=st.integers(1, 60))
def test_factors_store_rank_rows_and_columns(shape, rank):
    m, n = shape
    assert num_factor_parameters(shape, rank) == m * rank + rank * n
    assert parameter_ratio(shape, rank) == pytest.approx(float(Fraction(m * rank + rank * n, m * n)))
