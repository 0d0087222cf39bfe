import pytest
import torch
from torch import nn

from lrexplore.models.cifar_others import WideBlock, separable_resnet28_10
from lrexplore.recipes.published_tensors import (
    three_sizes,
    train_count,
    tucker_count,
    tucker_ranks,
)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((640, 640), (80, 80, 64)), ((320, 640), (64, 64, 50)), ((320, 320), (50, 64, 32)),
        ((160, 320), (40, 40, 32)), ((160, 160), (32, 32, 25)), ((16, 160), (16, 16, 10)),
    ],
)  # fmt: skip
def test_a_matrix_is_read_as_the_published_tensor(shape, sizes):
    assert three_sizes(shape[0] * shape[1]) == sizes


@pytest.fixture(scope="module")
def wide():
    """The tensors of the separable WRN-28-10's 1 x 1 kernels, and how many other parameters it has."""
    with torch.device("meta"):
        model = separable_resnet28_10()
    blocks = [block for block in model if isinstance(block, WideBlock)]
    points = [conv[1] for block in blocks for conv in (block.conv1, block.conv2)]
    assert all(isinstance(point, nn.Conv2d) and point.kernel_size == (1, 1) for point in points)
    rest = sum(p.numel() for p in model.parameters()) - sum(point.weight.numel() for point in points)
    return [three_sizes(point.weight.numel()) for point in points], rest


@pytest.mark.parametrize(("scale", "total", "ratio"), [(0.234, 607_160, 0.01664), (0.705, 2_434_702, 0.06674)])
def test_tensor_trains_have_the_published_number_of_parameters(wide, scale, total, ratio):
    sizes, rest = wide
    assert rest + sum(train_count(one, scale) for one in sizes) == total
    assert round(total / 36_479_194, 5) == ratio


@pytest.mark.parametrize(("scale", "total", "ratio"), [(0.211, 608_501, 0.01668), (0.68, 2_444_223, 0.0670)])
def test_tucker_tensors_have_the_published_number_with_its_oversized_cores(wide, scale, total, ratio):
    sizes, rest = wide
    assert rest + sum(tucker_count(one, scale, as_published=True) for one in sizes) == total
    assert round(total / 36_479_194, 5) == ratio


def test_with_cores_as_they_are_tucker_needs_a_third_of_the_numbers(wide):
    sizes, rest = wide
    published, needed = (sum(tucker_count(one, 0.211, as_published=how) for one in sizes) for how in (True, False))
    assert (published, needed) == (250_123, 84_540)
    assert round((rest + needed) / 36_479_194, 4) == 0.0121
    assert tucker_ranks((32, 32, 25), 0.211) == (7, 7, 5)
    assert tucker_count((32, 32, 25), 0.211) - (2 * 32 * 7 + 25 * 5) == 245
    assert tucker_count((32, 32, 25), 0.211, as_published=True) - (2 * 32 * 7 + 25 * 5) == 1369


def test_the_separable_network_answers_like_the_wide_one():
    torch.manual_seed(0)
    with torch.no_grad():
        assert separable_resnet28_10(7).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
