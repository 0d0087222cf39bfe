"""Layers cut where they end by themselves."""

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.network import find_layers
from lrexplore.ranks.numerical import MEASURES, numerical_ranks


def with_ranks(noise=0.0):
    """A network whose layers have ranks 3 (linear), 2 (convolution), 2 a group, and one that is whole."""
    draws = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 40), nn.GELU(), nn.Linear(40, 24),
    )  # fmt: skip

    def fill(module, rank):
        for kernel in module.weight.data.chunk(getattr(module, "groups", 1)):
            m, n = len(kernel), kernel[0].numel()
            low = torch.randn(m, rank, generator=draws) @ torch.randn(rank, n, generator=draws)
            low = low / low.norm() + noise * torch.randn(m, n, generator=draws) / (m * n) ** 0.5
            kernel.copy_(low.view_as(kernel))

    for place, rank in (("0", 2), ("3", 2), ("7", 3)):
        fill(model.get_submodule(place), rank)
    return model.eval()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_every_layer_is_cut_at_its_own_rank_and_others_are_left_alone(measure, noise):
    model = with_ranks(noise)
    small = lr.factorize(model, tolerance=1e-4, tolerance_of=measure)
    assert {record.name: record.rank for record in small.factorization} == {"0": 2, "3": 2, "7": 3, "9": None}
    x = torch.randn(4, 8, 9, 9)
    torch.testing.assert_close(small(x), model(x), atol=5e-3 if noise else 1e-5, rtol=1e-2 if noise else 1e-4)
    assert torch.equal(small[9].weight, model[9].weight)


def test_the_report_says_what_was_found_of_each_layer():
    table = lr.report(lr.factorize(with_ranks(), tolerance=1e-4)).set_index("name")
    assert table.loc["7", "reason"].startswith("numerical rank 3, frobenius error ")
    assert table.loc["9", "reason"].startswith("numerical rank 24, ") and "left alone" in table.loc["9", "reason"]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("tolerance", [0.3, 0.03, 1e-3])
def test_the_rank_is_the_least_whose_cut_by_hand_is_within_the_tolerance(measure, tolerance):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 12))
    layers = find_layers(model)
    error = lr.frobenius_error if measure == "frobenius" else lr.function_error
    for layer in layers:
        found = numerical_ranks(model, layers, tolerance, measure=measure)[layer.name]
        weight = model.get_submodule(layer.name).weight.detach().double()
        options = {} if measure == "frobenius" else {"activation": layer.follows.activation}
        by_hand = [error(weight, lr.initialize(weight, rank=r, initializer="spectral"), **options)
                   for r in range(1, min(weight.shape) + 1)]  # fmt: skip
        assert found.rank == next(r for r, value in enumerate(by_hand, 1) if value <= tolerance or r == len(by_hand))
        assert found.error == pytest.approx(by_hand[found.rank - 1], rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_a_separable_kernel_has_rank_one_in_the_scheme_that_separates_it(scheme):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(6, 8, 3))
    column, row = torch.randn(8, 3, 1), torch.randn(1, 6 * 3)
    model[0].weight.data = (column.reshape(24, 1) @ row).view(8, 3, 6, 3).permute(0, 2, 1, 3).contiguous()
    found = numerical_ranks(model, find_layers(model), 1e-6, scheme=scheme)["0"]
    assert (found.rank == 1) == (scheme == "spatial")


def test_a_network_of_full_rank_is_left_as_it_is():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 12))
    small = lr.factorize(model, tolerance=1e-4)
    assert [record.rank for record in small.factorization] == [None, None]
    assert torch.equal(small(torch.ones(2, 20)), model(torch.ones(2, 20)))


def test_a_layer_of_zeros_has_rank_one():
    model = nn.Sequential(nn.Linear(20, 32))
    model[0].weight.data.zero_()
    assert lr.factorize(model, tolerance=1e-4)[0].rank == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tolerance": 0.0}, r"`tolerance` must be a relative squared error in \(0, 1\)"),
        ({"tolerance": 1e-4, "tolerance_of": "both"}, "`tolerance_of` must be one of frobenius, function"),
        ({"tolerance": 1e-4, "rank_scale": 0.5}, "One of `rank_scale`, `ranks`, `plan` and `tolerance`"),
        ({"tolerance": 1e-4, "scheme": "rows"}, "`scheme` must be one of"),
    ],
)
def test_what_makes_no_sense_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        lr.factorize(with_ranks(), **options)
    with pytest.raises(ValueError, match="must have a layer that can be factorized"):
        lr.factorize(nn.Sequential(nn.ReLU()), tolerance=1e-4)
