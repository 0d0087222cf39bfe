"""Made-up inputs by which layers are weighed where a person gives none."""

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.calibration.parts import Parts
from lrexplore.network import find_layers
from lrexplore.network.batches import read_items
from lrexplore.ranks.probes import Probes, noise_for


def test_images_have_the_spectrum_of_photographs():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3))
    noise = noise_for(model, find_layers(model), 8)
    assert noise.shape == (8, 3, 224, 224)
    assert float(noise.mean()) == pytest.approx(0, abs=1e-4) and float(noise.std()) == pytest.approx(1, abs=1e-4)
    power = torch.fft.fft2(noise.double()).abs().square().mean((0, 1))
    frequency = torch.fft.fftfreq(224).abs()
    slopes = [float((power[0, 4] / power[0, 32]).log() / (frequency[4] / frequency[32]).log())]
    assert slopes[0] == pytest.approx(-2, abs=0.4)
    colors = torch.corrcoef(noise.transpose(0, 1).flatten(1))
    assert float(colors[0, 1]) == pytest.approx(0.9, abs=0.05)


def test_vectors_are_white_and_the_same_each_time():
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    noise = noise_for(model, find_layers(model), 16)
    assert noise.shape == (16, 12) and torch.equal(noise, noise_for(model, find_layers(model), 16))


def test_a_trained_network_without_inputs_is_weighed_by_its_answers():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 24), nn.BatchNorm1d(24), nn.ReLU(),
        nn.Linear(24, 5),
    )  # fmt: skip
    for _ in range(50):
        model(torch.randn(64, 12))
    model.eval()
    plan = lr.allocate(model, parameter_ratio=0.6)
    assert (plan.initializer, plan.weights) == ("implied", "sensitivity to noise")
    assert len({layer.weight for layer in plan.layers}) == 3
    assert lr.allocate(model, parameter_ratio=0.6, weights="plain").weights == "plain"


def test_probes_are_inputs_that_nothing_was_fitted_to_of_as_many_groups_as_there_are():
    model = nn.Sequential(nn.Linear(5, 20))
    inputs = torch.arange(40.0)[:, None].expand(40, 5)
    ids = [place // 5 for place in range(40)]  # 8 groups; 1 and 5 are held out
    items = list(read_items(inputs.split(7), groups=ids))
    probes = Probes.of(model, find_layers(model), items, None)
    assert sorted(float(row[0]) for batch in probes.own for row in batch) == [*range(5, 10), *range(25, 30)]
    assert probes.weighting == "sensitivity"
    parts = Parts(items)
    few = [float(row[0]) for batch in parts.spread_out(4) for row in batch]
    assert few == [5, 6, 25, 26]
    assert len(parts.judged_groups) == 10 and parts.num_fit_groups == 6


def test_a_single_group_is_probed_with_and_nothing_is_left_to_judge():
    model = nn.Sequential(nn.Linear(5, 20))
    items = list(read_items([torch.ones(6, 5)], groups=[3] * 6))
    assert [len(batch) for batch in Probes.of(model, find_layers(model), items, None).own] == [6]
    assert Parts(items).judged == []


def test_one_photograph_sways_the_weights_little_and_many_a_lot():
    found = {"own": {"a": 3.0, "b": 1.0}, "noise": {"a": 1.0, "b": 3.0}}
    noise = torch.zeros(2, 3)

    def measure(batches):
        return found["noise" if batches[0] is noise else "own"]

    few, many = (Probes([torch.ones(1, 3)], noise, share).weights(measure) for share in (1 / 9, 16 / 24))
    assert few == pytest.approx({"a": 11 / 9, "b": 25 / 9}) and many == pytest.approx({"a": 7 / 3, "b": 5 / 3})
    assert Probes([], noise, 0.0).weights(measure) == found["noise"]
    assert Probes([], None, 1.0).weights(measure) == {}


def test_few_photographs_weigh_no_layers_where_noise_can():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1)).eval()
    model[1].running_mean += 0.1
    implied, layers = lr.implied_inputs(model), find_layers(model)
    for num_groups, own in ((15, 0), (16, 16)):
        items = list(read_items([torch.randn(16, 3, 8, 8)], groups=[place % num_groups for place in range(16)]))
        probes = Probes.of(model, layers, items, implied, fits=False)
        assert sum(map(len, probes.own)) == own and probes.noise is not None
        assert probes.share == (num_groups / (num_groups + 64) if own else 0)
