import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lrexplore.init import initialize
from lrexplore.linalg import Factors, matrix_shape
from lrexplore.nn import Conv2dSame, FactorizedConv2d

OPTIONS = {
    "plain": {},
    "stride": {"stride": (2, 3), "padding": 1},
    "padding": {"padding": (2, 1)},
    "dilation": {"dilation": (2, 1), "padding": 2},
    "same, odd kernel": {"padding": "same"},
    "same, even kernel": {"padding": "same", "kernel_size": (4, 2), "dilation": 3},
    "valid": {"padding": "valid", "stride": 2},
    "reflect": {"padding_mode": "reflect", "padding": (1, 2), "stride": 2},
    "replicate": {"padding_mode": "replicate", "padding": 2, "dilation": 2},
    "circular": {"padding_mode": "circular", "padding": (2, 1)},
    "reflect, same": {"padding_mode": "reflect", "padding": "same", "kernel_size": (4, 3)},
    "groups": {"groups": 2, "padding": 1},
    "groups, stride, circular": {"groups": 3, "padding": 1, "stride": 2, "padding_mode": "circular"},
    "one row": {"kernel_size": (1, 5), "padding": (1, 2), "stride": (2, 1)},
    "one column": {"kernel_size": (5, 1), "padding": (2, 0), "stride": (2, 1)},
    "1 x 1": {"kernel_size": 1, "stride": 2},
}


def make_layer(bias=True, **options):
    options = {"kernel_size": (3, 5)} | options
    return nn.Conv2d(6, 12, bias=bias, **options).double()


def full_rank(layer, scheme, initializer="spectral"):
    kernels = layer.weight.detach().chunk(layer.groups)
    rank = min(matrix_shape(kernels[0].shape, scheme))
    return [initialize(kernel, rank, initializer=initializer, scheme=scheme) for kernel in kernels]


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_full_rank_spectral_factors_reproduce_the_output(options, scheme):
    layer = make_layer(**options)
    factorized = FactorizedConv2d.from_layer(layer, full_rank(layer, scheme), scheme)
    x = torch.randn(2, 6, 13, 11, dtype=torch.float64)
    torch.testing.assert_close(factorized(x), layer(x))
    torch.testing.assert_close(factorized(x[0]), layer(x[0]))


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_factorized_forward_is_the_collapsed_forward(options, bias, scheme):
    layer = make_layer(bias=bias, **options)
    factorized = FactorizedConv2d(6, 12, rank=1, scheme=scheme, bias=bias, **({"kernel_size": (3, 5)} | options))
    factorized = factorized.double()
    x = torch.randn(2, 6, 13, 11, dtype=torch.float64)
    collapsed = factorized.collapse()
    assert type(collapsed) is nn.Conv2d and repr(collapsed) == repr(layer)
    torch.testing.assert_close(factorized(x), collapsed(x))
    torch.testing.assert_close(factorized.weight, collapsed.weight)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_factorized_forward_is_the_product_forward_for_any_geometry(data):
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = (data.draw(pair) for _ in range(3))
    padding = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    mode = data.draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    groups, scheme = data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from(["channel", "spatial"]))
    factorized = FactorizedConv2d(
        4, 8, kernel, 2, scheme=scheme, stride=stride, padding=padding, dilation=dilation, groups=groups,
        padding_mode=mode,
    ).double()  # fmt: skip
    x = torch.randn(1, 4, 8, 9, dtype=torch.float64)
    torch.testing.assert_close(factorized(x), factorized.collapse()(x))


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
@pytest.mark.parametrize("size", [12, 13])
def test_same_padding_with_a_stride_survives_factorizing_and_collapsing(size, scheme):
    layer = Conv2dSame(6, 8, 3, stride=2).double()
    factorized = FactorizedConv2d.from_layer(layer, full_rank(layer, scheme), scheme)
    x = torch.randn(1, 6, size, size, dtype=torch.float64)
    assert factorized.padding == "same"
    torch.testing.assert_close(factorized(x), layer(x))
    torch.testing.assert_close(factorized.collapse()(x), layer(x))


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_factors_come_back_a_group_as_they_went_in(scheme):
    layer = make_layer(groups=3)
    m, n = matrix_shape((4, 2, 3, 5), scheme)
    factors = [Factors(torch.randn(m, 2).double(), torch.randn(2, n).double()) for _ in range(3)]
    factorized = FactorizedConv2d.from_layer(layer, factors, scheme)
    assert factorized.left.shape == (3 * m, 2) and factorized.right.shape == (3 * 2, n)
    for before, after in zip(factors, factorized.factors(), strict=True):
        assert torch.equal(before.left, after.left) and torch.equal(before.right, after.right)


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_state_dict_deepcopy_and_pickle_keep_the_outputs(scheme):
    layer = FactorizedConv2d(4, 6, 3, 2, scheme=scheme, padding=1, groups=2)
    x = torch.randn(1, 4, 5, 5)
    other = FactorizedConv2d(4, 6, 3, 2, scheme=scheme, padding=1, groups=2)
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_the_same_image_to_its_own_digits(dtype, scheme):
    layer = FactorizedConv2d(4, 6, 3, 2, scheme=scheme, padding=1)
    x = torch.randn(1, 4, 5, 5)
    halved = copy.deepcopy(layer).to(dtype)(x.to(dtype))
    assert halved.dtype == dtype
    # bfloat16 keeps 8 bits: two roundings of sums of order one.
    torch.testing.assert_close(halved.float(), layer(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_channels_last_in_gives_channels_last_out_and_equal_values(scheme):
    layer = FactorizedConv2d(4, 6, 3, 2, scheme=scheme, padding=1).to(memory_format=torch.channels_last)
    x = torch.randn(2, 4, 5, 5)
    y = layer(x.to(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, layer(x))


@pytest.mark.parametrize("options", [{}, {"padding": "same", "stride": 2}, {"padding_mode": "reflect"}])
@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_compiled_and_exported_layers_give_equal_outputs(scheme, options):
    layer = FactorizedConv2d(4, 6, 3, 2, scheme=scheme, groups=2, **({"padding": 1} | options)).eval()
    x = torch.randn(2, 4, 6, 5)
    torch.testing.assert_close(torch.compile(layer, backend="aot_eager")(x), layer(x))
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), layer(x))


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_gradients_of_the_factors_are_those_of_the_product(scheme):
    layer = FactorizedConv2d(4, 6, 3, 2, scheme=scheme, padding=1, groups=2).double()
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    ours = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    y = torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=1, groups=2)
    theirs = torch.autograd.grad(y.square().sum(), list(layer.parameters()))
    torch.testing.assert_close(ours, theirs)


def test_a_fresh_layer_has_the_product_variance_of_a_fresh_convolution():
    torch.manual_seed(0)
    for scheme in ("channel", "spatial"):
        weight = FactorizedConv2d(64, 96, 3, 40, scheme=scheme).weight
        assert weight.var().item() == pytest.approx(1 / (3 * 64 * 9), rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 4}, "`groups` must divide"),
        ({"padding": "full"}, "`padding` must be 'same', 'valid' or numbers"),
        ({"padding_mode": "mirror"}, "`padding_mode` must be one of zeros"),
        ({"scheme": "rows"}, "`scheme` must be one of channel, spatial"),
        ({"rank": 13}, "`rank` must be a whole number in 1..12"),
    ],
)
def test_options_that_no_convolution_has_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FactorizedConv2d(**({"in_channels": 6, "out_channels": 12, "kernel_size": 3, "rank": 2} | options))


def test_factors_for_the_wrong_number_of_groups_or_scheme_are_refused():
    layer = make_layer(groups=2)
    factors = full_rank(layer, "channel")
    with pytest.raises(ValueError, match="`factors` must be 2 of one rank"):
        FactorizedConv2d.from_layer(layer, factors[:1])
    with pytest.raises(ValueError, match="under the spatial scheme"):
        FactorizedConv2d.from_layer(layer, factors, "spatial")


def test_the_layer_says_what_it_is():
    layer = FactorizedConv2d(4, 6, 3, 2, scheme="spatial", padding=1, groups=2, bias=False)
    assert repr(layer) == (
        "FactorizedConv2d(4, 6, kernel_size=(3, 3), rank=2, scheme='spatial', stride=(1, 1), padding=(1, 1), "
        "groups=2, bias=False)"
    )
