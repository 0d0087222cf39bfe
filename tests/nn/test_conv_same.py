import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from lrexplore.nn.conv_same import Conv2dSame, same_padding


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4), st.integers(1, 3))
def test_output_has_the_input_over_stride_pixels_rounded_up(size, kernel_size, stride, dilation):
    before, after = same_padding(size, kernel_size, stride, dilation)
    output = (size + before + after - dilation * (kernel_size - 1) - 1) // stride + 1
    assert output == -(-size // stride)
    assert 0 <= after - before <= 1


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_at_stride_one_it_is_the_same_padding_of_pytorch(kernel_size):
    layer = Conv2dSame(3, 4, kernel_size, dilation=2).double()
    x = torch.randn(2, 3, 11, 9, dtype=torch.float64)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias, padding="same", dilation=2))


def test_it_is_the_function_of_the_timm_class_of_this_name():
    timm_layers = pytest.importorskip("timm.layers", reason="needs timm: pip install timm")
    theirs = timm_layers.Conv2dSame(3, 4, 3, stride=2).double()
    ours = Conv2dSame(3, 4, 3, stride=2).double()
    ours.load_state_dict(theirs.state_dict())
    for size in (7, 8):
        x = torch.randn(1, 3, size, size, dtype=torch.float64)
        torch.testing.assert_close(ours(x), theirs(x))
