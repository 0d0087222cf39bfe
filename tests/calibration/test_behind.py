"""Inputs behind changed layers, against sums over all of them by hand."""

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.calibration.behind import inputs_behind
from lrexplore.linalg.shifted_inputs import ShiftedInputs
from lrexplore.network import find_layers
from lrexplore.network.batches import read_items
from lrexplore.network.grouping import is_held_out


class Skipped(nn.Module):
    """A convolution beside a skip connection, then a grouped one and a classifier."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.grouped = nn.Conv2d(4, 8, 3, groups=2)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = x + self.first(x).relu()
        return self.head(self.grouped(x).relu().mean((2, 3)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Skipped().eval()


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(8, 4, 6, 6, generator=generator) for _ in range(3)]


def behind(model, changed, batches, calibration, **options):
    layers = [layer for layer in find_layers(model) if layer.name in calibration]
    return inputs_behind(model, changed, layers, read_items(batches, model), calibration, **options)


def fit_inputs(model, batches, name):
    """The input of a layer for all inputs that are not held out."""
    seen = []
    hook = model.get_submodule(name).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        for batch in batches:
            model(batch)
    hook.remove()
    held = torch.tensor([is_held_out(number) for number in range(sum(map(len, batches)))])
    return torch.cat(seen)[~held].double()


def test_moments_are_those_of_the_pairs(network, batches):
    changed = lr.factorize(network, ranks={"first": 1}, initializer="spectral")
    calibration = lr.calibrate(network, batches)
    entry = behind(network, changed, batches, calibration)["head"]
    x, other = fit_inputs(network, batches, "head"), fit_inputs(changed, batches, "head")
    assert isinstance(entry, ShiftedInputs)
    torch.testing.assert_close(entry.mean, other.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(entry.covariance(), other.mT.cov(correction=0), rtol=1e-4, atol=1e-7)
    crossed = (x - x.mean(0)).mT @ (other - other.mean(0)) / len(x)
    torch.testing.assert_close(entry.cross, crossed, rtol=1e-4, atol=1e-7)
    rows = {tuple(row) for row in torch.cat([x, other], 1).float().tolist()}
    assert {tuple(row) for row in torch.cat([entry.original.samples, entry.samples], 1).tolist()} == rows


def test_groups_of_a_convolution_have_moments_of_their_own(network, batches):
    changed = lr.factorize(network, ranks={"first": 1}, initializer="spectral")
    calibration = lr.calibrate(network, batches)
    entries = behind(network, changed, batches, calibration).entries("grouped")
    patches = [nn.functional.unfold(fit_inputs(net, batches, "grouped"), 3).mT.flatten(0, 1)
               for net in (network, changed)]  # fmt: skip
    assert len(entries) == 2
    for group, entry in enumerate(entries):
        own, other = (patch.chunk(2, 1)[group] for patch in patches)
        torch.testing.assert_close(entry.mean, other.mean(0), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(entry.covariance(), other.mT.cov(correction=0), rtol=1e-4, atol=1e-6)
        crossed = (own - own.mean(0)).mT @ (other - other.mean(0)) / len(own)
        torch.testing.assert_close(entry.cross, crossed, rtol=1e-4, atol=1e-6)


def test_a_layer_before_which_nothing_changed_keeps_its_entry(network, batches):
    changed = lr.factorize(network, ranks={"grouped": 2}, initializer="spectral")
    calibration = lr.calibrate(network, batches)
    found = behind(network, changed, batches, calibration)
    assert found.entries("first") == calibration.entries("first")
    assert found.entries("grouped") == calibration.entries("grouped")
    assert isinstance(found["head"], ShiftedInputs)


def test_the_same_positions_are_looked_at_as_by_the_calibration(network):
    generator = torch.Generator().manual_seed(1)
    batches = [torch.randn(4, 4, 24, 24, generator=generator) for _ in range(2)]  # more than 256 positions
    calibration = lr.calibrate(network, batches, lean=False)
    changed = lr.factorize(network, ranks={"first": 4}, initializer="spectral")
    changed.first.right.data *= 1 + 1e-3
    entry = behind(network, changed, batches, calibration)["grouped"]
    own = entry.original.samples
    assert len(own) < 6 * 22 * 22
    own_samples = {tuple(row) for row in calibration["grouped"].samples.tolist()}
    assert {tuple(row) for row in own.tolist()} == own_samples
