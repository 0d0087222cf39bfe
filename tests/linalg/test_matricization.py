import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lrexplore.linalg import (
    SCHEMES,
    Factors,
    dematricize,
    matricize,
    matrix_shape,
    rows_per_neuron,
    scheme_of,
    truncate,
)

KERNEL = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))


def _kernel(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@given(shape=KERNEL, scheme=st.sampled_from(SCHEMES))
@settings(max_examples=80, deadline=None)
def test_a_kernel_survives_the_round_trip_through_its_matrix(shape, scheme):
    kernel = _kernel(shape)
    matrix = matricize(kernel, scheme)
    assert tuple(matrix.shape) == matrix_shape(shape, scheme)
    assert torch.equal(dematricize(matrix, shape, scheme), kernel)


@given(shape=KERNEL)
@settings(max_examples=30, deadline=None)
def test_entries_lie_where_the_schemes_say(shape):
    kernel, (c_out, c_in, k_h, k_w) = _kernel(shape), shape
    channel, spatial = matricize(kernel, "channel"), matricize(kernel, "spatial")
    for o in range(c_out):
        for c in range(c_in):
            for i in range(k_h):
                for j in range(k_w):
                    assert channel[o, (c * k_h + i) * k_w + j] == kernel[o, c, i, j]
                    assert spatial[o * k_h + i, c * k_w + j] == kernel[o, c, i, j]


@given(shape=KERNEL)
@settings(max_examples=40, deadline=None)
def test_the_rows_of_a_neuron_are_the_kernel_of_its_output_channel(shape):
    kernel = _kernel(shape)
    for scheme in SCHEMES:
        neurons = matricize(kernel, scheme).reshape(shape[0], -1)
        assert len(matricize(kernel, scheme)) == shape[0] * rows_per_neuron(shape, scheme)
        torch.testing.assert_close(neurons.norm(dim=1), kernel.flatten(1).norm(dim=1))


def test_a_separable_kernel_has_rank_one_under_spatial_and_rank_k_under_channel():
    generator = torch.Generator().manual_seed(0)
    vertical = torch.randn(8, 3, generator=generator, dtype=torch.float64)
    horizontal = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    kernel = torch.einsum("oi,cj->ocij", vertical, horizontal)
    assert torch.linalg.matrix_rank(matricize(kernel, "spatial")) == 1
    assert torch.linalg.matrix_rank(matricize(kernel, "channel")) == 3
    factors = truncate(matricize(kernel, "spatial"), 1)
    torch.testing.assert_close(dematricize(factors.product(), kernel.shape, "spatial"), kernel)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_factors_of_a_kernel_are_two_convolutions_with_the_same_output(scheme):
    kernel = _kernel((6, 4, 3, 5))
    factors = truncate(matricize(kernel, scheme), min(matrix_shape(kernel.shape, scheme)))
    images = _kernel((2, 4, 9, 9))
    conv2d = torch.nn.functional.conv2d
    if scheme == "channel":
        first, second = factors.right.view(-1, 4, 3, 5), factors.left[:, :, None, None]
    else:
        first = factors.right.view(-1, 4, 1, 5)
        second = factors.left.view(6, 3, -1).permute(0, 2, 1)[..., None]
    torch.testing.assert_close(conv2d(conv2d(images, first), second), conv2d(images, kernel))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_matrix_passes_through_every_scheme_unchanged(scheme):
    matrix = _kernel((4, 6))
    assert matricize(matrix, scheme) is matrix
    assert dematricize(matrix, (4, 6), scheme) is matrix
    assert rows_per_neuron((4, 6), scheme) == 1


@given(shape=KERNEL, rank=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_the_scheme_is_read_off_the_shape_of_the_factors(shape, rank):
    for scheme in SCHEMES:
        m, n = matrix_shape(shape, scheme)
        found = scheme_of(shape, Factors(torch.zeros(m, rank), torch.zeros(rank, n)))
        if shape[2] == 1:
            assert found == "channel"
            assert torch.equal(matricize(_kernel(shape), found), matricize(_kernel(shape), scheme))
        else:
            assert found == scheme


def test_factors_of_another_weight_are_refused_with_the_shapes_that_fit():
    with pytest.raises(ValueError, match=r"`factors` must multiply to \(6, 36\) or \(18, 12\).*got \(5, 36\)\. Pass"):
        scheme_of((6, 4, 3, 3), Factors(torch.zeros(5, 1), torch.zeros(1, 36)))


@pytest.mark.parametrize("call", [matricize, lambda weight, scheme: matrix_shape(weight.shape, scheme)])
def test_an_unknown_scheme_and_a_shape_that_is_no_layer_are_refused(call):
    with pytest.raises(ValueError, match="`scheme` must be one of channel, spatial, got 'rows'. Choose"):
        call(torch.zeros(2, 2), "rows")
    with pytest.raises(ValueError, match=r"`weight` must be a matrix .*got shape \(2, 3, 4\). Reshape"):
        call(torch.zeros(2, 3, 4), "channel")


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1, 1)])
def test_a_matrix_of_another_shape_is_not_made_a_weight(shape):
    with pytest.raises(ValueError, match=r"`matrix` must be \(4, 6\) for a weight .*got \(6, 4\)\. Pass"):
        dematricize(torch.zeros(6, 4), shape)
