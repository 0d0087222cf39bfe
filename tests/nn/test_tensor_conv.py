import pytest
import torch
from torch import nn

from lrexplore.linalg.tensors import TENSOR_FORMS, TrainMatrix, ranks_from_scale
from lrexplore.nn import Conv2dSame
from lrexplore.nn.tensor import CONVS, TrainLinear, TuckerConv2d

OPTIONS = {
    "plain": {},
    "padding": {"padding": 1},
    "stride": {"stride": 2, "padding": 1},
    "uneven": {"kernel_size": (3, 5), "stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)},
    "one row": {"kernel_size": (1, 3), "padding": (0, 1)},
    "reflect": {"padding": 1, "padding_mode": "reflect"},
    "replicate": {"padding": 1, "padding_mode": "replicate", "stride": 2},
    "circular in groups": {"padding": 2, "padding_mode": "circular", "groups": 2, "dilation": 2},
    "same in groups": {"padding": "same", "groups": 4},
    "without bias": {"bias": False},
}


def conv(options, kind=nn.Conv2d):
    torch.manual_seed(0)
    return kind(8, 12, **{"kernel_size": 3, **options}).double()


def split(layer, form, scale=None):
    parts, kind = layer.weight.detach().chunk(layer.groups), TENSOR_FORMS[form]
    shape = tuple(parts[0].shape)
    ranks = kind.full_ranks(shape) if scale is None else ranks_from_scale(form, shape, scale)
    return CONVS[form].from_layer(layer, [kind.decompose(part, ranks) for part in parts])


def images(seed=1):
    return torch.randn(2, 8, 11, 13, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("form", CONVS)
def test_at_full_rank_the_chain_gives_the_outputs_of_the_layer(form, options):
    layer = conv(options)
    assert torch.allclose(split(layer, form)(images()), layer(images()), atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("form", CONVS)
def test_chain_product_and_collapsed_layer_agree_below_full_rank(form, options):
    small = split(conv(options), form, 0.4)
    out = small(images())
    assert torch.allclose(small.collapse()(images()), out, atol=1e-12)
    small.execution = "product"
    assert torch.allclose(small(images()), out, atol=1e-12)


@pytest.mark.parametrize("form", CONVS)
def test_tensorflows_padding_is_kept(form):
    layer = conv({"stride": 2}, Conv2dSame)
    small = split(layer, form)
    assert torch.allclose(small(images()), layer(images()), atol=1e-12)
    assert isinstance(small.collapse(), Conv2dSame)


@pytest.mark.parametrize("options", [{}, {"groups": 4, "kernel_size": (3, 1)}], ids=["one group", "groups"])
@pytest.mark.parametrize("form", CONVS)
def test_the_penalty_is_the_kernels_and_its_gradients_equal_autograd(form, options):
    small = split(conv(options), form, 0.5)
    brute = small.weight.square().sum()
    assert small.frobenius_penalty().item() == pytest.approx(brute.item(), rel=1e-12)
    wanted = torch.autograd.grad(brute / 2, small.factor_parameters())
    for found, right, factor in zip(small.penalty_gradients(), wanted, small.factor_parameters(), strict=True):
        assert found.shape == factor.shape
        assert torch.allclose(found, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", CONVS)
def test_a_fresh_layer_has_the_variance_of_a_fresh_convolution(form):
    torch.manual_seed(0)
    ranks = {"tucker": (12, 10), "tt": (12, 20, 10), "cp": 30}[form]
    squares = [CONVS[form](24, 32, 3, ranks).weight.square().mean().item() for _ in range(20)]
    assert sum(squares) / 20 == pytest.approx(1 / (3 * 24 * 9), rel=0.1)


@pytest.mark.parametrize("form", CONVS)
def test_multiply_adds_are_those_of_the_convolutions_that_run(form):
    small = split(conv({"stride": (2, 1), "padding": 1, "groups": 2}), form, 0.5)
    counted, real = 0, torch.nn.functional.conv2d

    def count(x, weight, *args, **keywords):
        nonlocal counted
        out = real(x, weight, *args, **keywords)
        counted += out[0, 0].numel() * weight.numel()
        return out

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.nn.functional, "conv2d", count)
        out = small(images()[:1])
    assert small.multiply_adds((11, 13), tuple(out.shape[-2:])) == counted


@pytest.mark.parametrize("form", CONVS)
def test_layers_keep_dtype_training_mode_and_what_is_frozen_and_train(form):
    layer = conv({}).float().eval().requires_grad_(False)
    small = split(layer, form, 0.5)
    assert not small.training
    assert not any(parameter.requires_grad for parameter in small.parameters())
    assert {parameter.dtype for parameter in small.parameters()} == {torch.float32}
    small = split(conv({}), form, 0.5)
    small(images()).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in small.parameters())


def test_a_layer_is_refused_where_it_cannot_be():
    with pytest.raises(ValueError, match="`ranks` must lie in 1..8, 1..12"):
        TuckerConv2d(8, 12, 3, ranks=(9, 4))
    with pytest.raises(ValueError, match="`groups` must divide"):
        TuckerConv2d(8, 12, 3, ranks=(2, 2), groups=3)
    layer, other = conv({}), conv({"kernel_size": 5})
    factors = TENSOR_FORMS["tucker"].decompose(other.weight, (2, 2))
    with pytest.raises(ValueError, match="`factors` must be 1 of the form tucker"):
        TuckerConv2d.from_layer(layer, factors)


MODES = ((2, 3, 5), (4, 3, 2))


def test_a_linear_layer_as_a_tensor_train_gives_its_outputs_at_full_rank_and_collapses():
    torch.manual_seed(0)
    layer = nn.Linear(24, 30).double()
    x = torch.randn(3, 7, 24, dtype=torch.float64)
    full = TrainLinear.from_layer(layer, TrainMatrix.decompose(layer.weight, TrainMatrix.full_ranks(MODES), MODES))
    assert torch.allclose(full(x), layer(x), atol=1e-12)
    small = TrainLinear.from_layer(layer, TrainMatrix.decompose(layer.weight, (3, 4), MODES))
    out = small(x)
    assert torch.allclose(small.collapse()(x), out, atol=1e-12)
    small.execution = "product"
    assert torch.allclose(small(x), out, atol=1e-12)
    brute = small.weight.square().sum()
    assert small.frobenius_penalty().item() == pytest.approx(brute.item(), rel=1e-12)
    wanted = torch.autograd.grad(brute / 2, small.factor_parameters())
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(small.penalty_gradients(), wanted, strict=True))
    fresh = [TrainLinear(24, 30, (3, 4), MODES).weight.square().mean().item() for _ in range(40)]
    assert sum(fresh) / 40 == pytest.approx(1 / 72, rel=0.15)


@pytest.mark.parametrize("form", [*CONVS, "tt of a matrix"])
def test_under_autocast_layers_answer_in_its_dtype_as_ordinary_ones_do(form):
    torch.manual_seed(0)
    if form in CONVS:
        layer, x = split(conv({}).float(), form, 0.5), images().float()
    else:
        layer, x = TrainLinear(24, 30, (3, 4), MODES), torch.randn(2, 24)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.float(), layer(x), atol=0.05)


@pytest.mark.parametrize("form", CONVS)
def test_layers_are_traced_whole_by_torchs_compiler(form):
    small = split(conv({"padding": 1}), form, 0.5)
    compiled = torch.compile(small, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(images()), small(images()), atol=1e-12)
