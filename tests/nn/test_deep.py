import pytest
import torch
from torch import nn

from lrexplore.linalg.deep_factors import DeepFactors, spread
from lrexplore.nn import Conv2dSame
from lrexplore.nn.deep import DeepConv2d, DeepLinear


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("rank", [3, 8, 40], ids=["narrow", "between", "wide"])
@pytest.mark.parametrize("has_middle", [False, True], ids=["two factors", "three factors"])
def test_decay_gradients_of_two_and_three_factors_equal_autograd(rank, has_middle):
    parts = [drawn(2, 6, rank), drawn(2, rank, rank, seed=1), drawn(2, rank, 11, seed=2)]
    parts = [part.requires_grad_() for part in parts]
    factors = DeepFactors(parts[0], parts[1] if has_middle else None, parts[2])
    brute = factors.product().square().sum()
    assert factors.squared_norm().item() == pytest.approx(brute.item(), rel=1e-12)
    wanted = torch.autograd.grad(brute / 2, parts if has_middle else [parts[0], parts[2]])
    for found, right in zip(factors.gradients(), wanted, strict=True):
        assert torch.allclose(found, right, rtol=1e-9, atol=1e-9 * float(right.abs().max()))


@pytest.mark.parametrize("shape", [(6, 11), (11, 6), (5, 5)])
@pytest.mark.parametrize("rank", [3, 6, 9, 45])
def test_a_start_wider_than_the_matrix_gives_it_and_has_no_dead_direction(shape, rank):
    matrix = drawn(*shape)
    left, right = spread(matrix, rank, 0.1, torch.Generator().manual_seed(1))
    assert left.shape == (shape[0], rank) and right.shape == (rank, shape[1])
    if rank >= min(shape):
        assert torch.allclose(left @ right, matrix, atol=1e-12)
    else:
        tail = torch.linalg.svdvals(matrix)[rank:].square().sum()
        assert torch.allclose((left @ right - matrix).square().sum(), tail)
    # whatever the gradient G of the product: a direction moves where G right^T or left^T G has a part in it
    gradient = drawn(*shape, seed=3)
    assert float((gradient @ right.mT).norm(dim=0).min()) > 1e-2
    assert float((left.mT @ gradient).norm(dim=1).min()) > 1e-2


def test_the_surplus_has_the_share_of_the_norm_that_was_asked_for():
    matrix = drawn(40, 30)
    left, right = spread(matrix, 120, 0.1, torch.Generator().manual_seed(1))
    assert float((left[:, 30:] @ right[30:]).norm() / matrix.norm()) == pytest.approx(0.1, rel=0.1)
    assert float(left.norm() / right.norm()) == pytest.approx(1, rel=0.1)


OPTIONS = {
    "stride": {"stride": 2, "padding": 1},
    "uneven": {"kernel_size": (3, 5), "stride": (2, 1), "padding": (0, 2), "dilation": (1, 2), "bias": False},
    "circular in groups": {"padding": 1, "padding_mode": "circular", "groups": 2},
    "same": {"padding": "same"},
}


@pytest.mark.parametrize("scheme", ["spatial", "channel"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_convolution_runs_as_one_and_collapses_to_its_product(options, scheme):
    torch.manual_seed(0)
    layer = DeepConv2d(8, 12, **{"kernel_size": 3, **options}, rank=50, middle=True, scheme=scheme).double()
    layer.middle.data += 0.1 * torch.randn_like(layer.middle)
    x = drawn(2, 8, 11, 13)
    out = layer(x)
    assert torch.allclose(layer.collapse()(x), out, atol=1e-12)
    calls, real = [], torch.nn.functional.conv2d
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.nn.functional, "conv2d", lambda *a, **k: calls.append(1) or real(*a, **k))
        layer(x)
    assert len(calls) == 1
    brute = layer.weight.square().sum()
    wanted = torch.autograd.grad(brute / 2, layer.factor_parameters())
    for found, right, factor in zip(layer.penalty_gradients(), wanted, layer.factor_parameters(), strict=True):
        assert found.shape == factor.shape
        assert torch.allclose(found, right, rtol=1e-9, atol=1e-12)


def test_a_fresh_layer_has_the_variance_of_a_fresh_ordinary_one_and_its_middle_is_the_identity():
    torch.manual_seed(0)
    linear, conv = DeepLinear(24, 30, 90, middle=True), DeepConv2d(24, 32, 3, 96, groups=2)
    assert torch.equal(linear.middle, torch.eye(90))
    assert float(linear.weight.square().mean()) == pytest.approx(1 / 72, rel=0.3)
    assert float(conv.weight.square().mean()) == pytest.approx(1 / (3 * 12 * 9), rel=0.3)
    assert linear.collapse()(torch.ones(2, 24)).allclose(linear(torch.ones(2, 24)), atol=1e-5)


def test_tensorflows_padding_is_kept():
    torch.manual_seed(0)
    ordinary = Conv2dSame(4, 6, 3, stride=2)
    layer = DeepConv2d.like(ordinary, 20, middle=False)
    assert isinstance(layer.collapse(), Conv2dSame)


def test_weight_decay_of_three_factors_is_torchs_own():
    torch.manual_seed(0)
    layer = nn.Sequential(DeepLinear(5, 4, 9, middle=True)).double()
    from lrexplore.optim import parameter_groups

    groups = parameter_groups(layer, decay="weight", decay_strength=0.1, decay_norms=False)
    before = [factor.detach().clone() for factor in layer[0].factor_parameters()]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    half = 0.1 / 2 * sum(factor.square().sum() for factor in before)
    assert half > 0
    for factor, was in zip(layer[0].factor_parameters(), before, strict=True):
        assert torch.allclose(was - factor, 0.1 * was)
