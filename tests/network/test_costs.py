import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lrexplore.network import factorized_flops, factorized_parameters, find_layers
from lrexplore.nn import FactorizedConv2d, FactorizedLinear

LAYERS = {
    "linear": nn.Linear(20, 30),
    "3 x 3": nn.Conv2d(6, 12, 3, padding=1),
    "stride and dilation": nn.Conv2d(6, 12, (3, 5), stride=(2, 3), dilation=2, padding=2, bias=False),
    "groups": nn.Conv2d(6, 12, 3, groups=3),
    "one row": nn.Conv2d(6, 12, (1, 5), stride=2, padding=(1, 0)),
    "1 x 1": nn.Conv2d(6, 12, 1, stride=2),
}


def factorized(layer, rank, scheme):
    if layer.kind == "linear":
        return FactorizedLinear(20, 30, rank, layer.bias)
    return FactorizedConv2d(
        6, 12, layer.kernel_size, rank, scheme=scheme, stride=layer.stride, padding=layer.padding,
        dilation=layer.dilation, groups=layer.groups, bias=layer.bias,
    )  # fmt: skip


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
@pytest.mark.parametrize("module", LAYERS.values(), ids=LAYERS.keys())
def test_costs_are_those_of_the_factorized_module(module, scheme):
    x = torch.zeros(2, 20) if isinstance(module, nn.Linear) else torch.zeros(2, 6, 17, 19)
    (layer,) = find_layers(module, x)
    new = factorized(layer, 2, scheme)
    assert factorized_parameters(layer, 2, scheme) == sum(p.numel() for p in new.parameters())
    with FlopCounterMode(display=False) as counter:
        new(x)
    # The counter counts a multiply-add as two, for both samples.
    assert factorized_flops(layer, 2, scheme) == counter.get_total_flops() / 4
    with FlopCounterMode(display=False) as counter:
        module(x)
    assert layer.flops == counter.get_total_flops() / 4


def test_break_even_is_where_the_factors_stop_saving_parameters():
    for module in LAYERS.values():
        (layer,) = find_layers(module)
        for scheme in ("channel", "spatial"):
            rank = layer.break_even_rank(scheme)
            assert rank == 0 or factorized_parameters(layer, rank, scheme) < layer.num_parameters
            assert factorized_parameters(layer, rank + 1, scheme) >= layer.num_parameters


def test_flops_are_unknown_where_the_sizes_are():
    model = nn.Sequential(nn.Linear(4, 4), nn.Unflatten(1, (3, 3)))
    assert factorized_flops(find_layers(model)[0], 1) is None


def test_a_rank_out_of_range_has_no_cost():
    (layer,) = find_layers(nn.Linear(20, 30))
    for cost in (factorized_flops, factorized_parameters):
        with pytest.raises(ValueError, match="`rank` must be a whole number in 1..20"):
            cost(layer, 21)
