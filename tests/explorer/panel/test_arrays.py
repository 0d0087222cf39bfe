import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lrexplore.explorer.panel.arrays import is_packed, pack, unpack

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, max_side=6, min_side=0)


@given(hnp.arrays(np.float32, SHAPES))
def test_packed_reals_come_back_as_they_were(values):
    np.testing.assert_array_equal(unpack(pack(values)), values)


@given(hnp.arrays(np.int32, SHAPES))
def test_packed_whole_numbers_come_back_as_they_were(values):
    back = unpack(pack(values))
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, values)


@given(hnp.arrays(np.uint8, SHAPES))
def test_packed_pixels_come_back_as_they_were_at_a_byte_each(values):
    packed = pack(values)
    assert len(packed["buffer"]) == values.size
    np.testing.assert_array_equal(unpack(packed), values)


@given(hnp.arrays(np.float64, SHAPES, elements=st.floats(-1e6, 1e6, width=64) | st.just(np.nan)))
def test_quantized_reals_are_within_half_a_step_and_nan_stays_nan(values):
    packed = pack(values, "uint16")
    back = unpack(packed)
    finite = np.isfinite(values)
    assert np.array_equal(np.isnan(back), ~finite)
    rounding = np.abs(values[finite]).max(initial=0) * np.finfo(np.float32).eps + np.finfo(np.float32).tiny
    assert np.all(np.abs(back[finite] - values[finite]) <= 0.5 * packed["scale"] + rounding)


def test_a_transposed_array_is_packed_in_the_order_of_its_own_indices():
    values = np.arange(6, dtype=np.float32).reshape(2, 3).T
    np.testing.assert_array_equal(unpack(pack(values)), values)


def test_bytes_are_little_endian_whatever_the_array_was():
    assert pack(np.array([1], dtype=">i4"))["buffer"] == b"\x01\x00\x00\x00"


def test_booleans_become_zero_and_one():
    assert unpack(pack([True, False])).tolist() == [1, 0]


@pytest.mark.parametrize("values", [["a"], [1j], [None]])
def test_what_is_no_number_is_refused(values):
    with pytest.raises(ValueError, match="`values` must be real numbers, got dtype"):
        pack(values)


def test_a_dtype_that_the_browser_does_not_read_is_refused():
    with pytest.raises(ValueError, match="`dtype` must be one of float32, int32, uint8, uint16, got 'float64'"):
        pack([1.0], "float64")


def test_only_a_packed_array_is_taken_for_one():
    assert is_packed(pack([1.0]))
    assert not is_packed({"buffer": b""})
    assert not is_packed(np.zeros(2))
