"""Networks factorized layer after layer, on inputs that nothing was fitted to."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lrexplore as lr
from lrexplore.network import find_layers
from lrexplore.network.batches import read_items
from lrexplore.ranks.in_sequence import blocks_of, in_order


class Residual(nn.Module):
    """Layers named against the order in which they are called, with a skip connection and batch norms."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(16, 6)
        self.after = nn.Conv2d(16, 16, 3, padding=1)
        self.inside = nn.Conv2d(16, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.stem = nn.Conv2d(3, 16, 3, padding=1)

    def forward(self, x):
        x = self.stem(x).relu()
        x = x + self.norm(self.inside(x)).relu()
        return self.head(self.after(x).relu().mean((2, 3)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Residual().eval()


def images(seed, count=48):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(10, 10, generator=torch.Generator().manual_seed(9))
    return torch.randn(count, 3, 10, 10, generator=generator) @ mix


def moved(network, small, x):
    with torch.no_grad():
        before = network(x)
        return float((small(x) - before).square().sum() / before.square().sum())


def test_on_new_inputs_less_is_lost_than_layer_by_layer(network):
    batches, unseen = list(images(0).split(16)), images(1)
    losses = {
        name: moved(network, lr.factorize(
            network, rank_scale=0.25, initializer=name, loader=batches, correct_norms=False), unseen)
        for name in ("whitened", "sequential")
    }  # fmt: skip
    assert losses["sequential"] < 0.7 * losses["whitened"]


def test_every_layer_has_its_record_and_rank(network):
    small = lr.factorize(network, ranks={"stem": 4, "after": 3, "head": 2}, initializer="sequential",
                         loader=list(images(0).split(16)))  # fmt: skip
    table = lr.report(small).set_index("name")
    assert table["rank"].dropna().to_dict() == {"stem": 4, "after": 3, "head": 2}
    assert table.loc["inside", "reason"] == "not chosen"
    assert "behind the layers before" in table.loc["after", "reason"]
    assert type(network.stem) is nn.Conv2d
    assert lr.collapse(small)(images(1)).shape == (48, 6)


def test_a_single_layer_is_whitened_to_the_last_bit(network):
    batches = list(images(0).split(16))
    calibration = lr.calibrate(network, batches)
    kinds = [lr.factorize(network, ranks={"after": 3}, initializer=name, loader=batches, calibration=calibration)
             for name in ("whitened", "sequential")]  # fmt: skip
    states = [small.state_dict() for small in kinds]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_plan_says_sequential_and_is_made_so(network):
    batches = list(images(0).split(16))
    plan = lr.allocate(network, parameter_ratio=0.5, initializer="sequential", loader=batches)
    assert plan.initializer == "sequential"
    small = lr.factorize(network, plan=plan, loader=batches)
    assert lr.report(small)["reason"].str.contains("behind").any()
    alike = lr.factorize(network, plan=plan, loader=iter(batches))  # good for one pass only
    assert all(torch.equal(*pair) for pair in zip(small.parameters(), alike.parameters(), strict=True))


def test_a_loader_that_gives_others_on_its_second_pass_is_found_out(network):
    loader = DataLoader(TensorDataset(images(0)), 16, shuffle=True)
    with pytest.raises(ValueError, match="the same inputs on every pass, got others in batch 0"):
        lr.factorize(network, rank_scale=0.25, initializer="sequential", loader=loader)


def test_a_loader_that_ends_earlier_on_its_second_pass_is_found_out(network):
    class Shorter:
        passes = 0

        def __iter__(self):
            self.passes += 1
            return iter(images(0).split(16)[: 3 if self.passes < 4 else 2])

    with pytest.raises(ValueError, match="the same inputs on every pass, got 2 batches after 3"):
        lr.factorize(network, rank_scale=0.25, initializer="sequential", loader=Shorter())


def test_without_a_loader_it_says_what_it_needs(network):
    calibration = lr.calibrate(network, list(images(0).split(16)))
    with pytest.raises(ValueError, match="`loader` must be given for the initializer 'sequential'"):
        lr.factorize(network, rank_scale=0.25, initializer="sequential", calibration=calibration)


def test_layers_come_in_the_order_of_their_calls(network):
    [item] = read_items([images(0)], network)
    assert [layer.name for layer in in_order(network, find_layers(network), item)] == [
        "stem",
        "inside",
        "after",
        "head",
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_blocks_hold_every_layer_once_and_none_is_empty(network, count):
    layers = list(find_layers(network))
    blocks = blocks_of(layers, count)
    assert [layer for block in blocks for layer in block] == layers
    assert len(blocks) == min(count, len(layers))
    assert all(blocks)


def test_no_layers_make_no_blocks():
    assert blocks_of([], 8) == []


def test_a_loader_that_draws_anew_after_a_calibration_is_told_of(network):
    loader = DataLoader(TensorDataset(images(0)), 16, shuffle=True)
    calibration = lr.calibrate(network, loader)
    with pytest.warns(UserWarning, match="`loader` gives other inputs than `calibration` was made of"):
        plan = lr.allocate(network, parameter_ratio=0.5, loader=loader, calibration=calibration)
    with pytest.warns(UserWarning, match="`loader` gives other inputs"):
        lr.factorize(network, plan=plan, loader=loader, calibration=calibration)


def test_a_loader_that_gives_the_same_in_other_batches_is_not_told_of(network, tmp_path, recwarn):
    calibration = lr.calibrate(network, list(images(0).split(16)))
    calibration.save(tmp_path / "inputs.safetensors")
    loaded = lr.Calibration.load(tmp_path / "inputs.safetensors")
    assert loaded.first_input == calibration.first_input != ""
    lr.allocate(network, parameter_ratio=0.5, loader=list(images(0).split(5)), calibration=loaded)
    assert not [warning for warning in recwarn if "other inputs" in str(warning.message)]
