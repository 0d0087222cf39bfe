import numpy as np
import pytest
import torch
from torch import nn

from lrexplore.network import find_layers
from lrexplore.ranks import latency
from lrexplore.ranks.latency import LatencyCost, layer_latencies


@pytest.fixture
def work_for_times(monkeypatch):
    """Rounds of "times" that are what each network stores, so that nothing depends on the clock."""

    def rounds(runs, device):
        networks = [run.func for run in runs]
        while True:
            for run in runs:
                run()
            yield [float(sum(parameter.numel() for parameter in network.parameters())) for network in networks]

    monkeypatch.setattr(latency, "latency_rounds", rounds)


def test_a_layer_is_timed_at_the_ranks_asked_for_and_as_it_is(work_for_times):
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.Flatten(), nn.Linear(6 * 36, 5))
    layer, head = find_layers(model, torch.zeros(1, 4, 8, 8))
    before = model[0].weight.clone()
    for scheme, (m, n) in (("channel", (3, 18)), ("spatial", (9, 6))):
        times, original = layer_latencies(model, layer, [1, 2, 3], scheme)
        np.testing.assert_array_equal(times, 2 * np.array([1, 2, 3]) * (m + n))
        assert original == 6 * 2 * 9
    times, original = layer_latencies(model, head, [5])
    assert (times.tolist(), original) == ([5 * (216 + 5) + 5], 216 * 5 + 5)
    assert torch.equal(model[0].weight, before)


def test_a_layer_that_is_called_twice_counts_twice(work_for_times):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4, bias=False)

        def forward(self, x):
            return self.inner(self.inner(x))

    model = Twice()
    times, original = layer_latencies(model, find_layers(model)[0], [1])
    assert (times.tolist(), original) == ([2 * 8], 2 * 16)


def test_a_rank_that_costs_more_never_counts_as_faster_than_a_smaller_one(monkeypatch):
    model = nn.Sequential(nn.Linear(40, 40))
    layer = find_layers(model)[0]
    monkeypatch.setattr(latency, "layer_latencies", lambda *_: (np.array([1.0, 3.0, 2.0, 4.0, 5.0]), 6.0))
    cost = LatencyCost(model)
    costs = [cost(layer, rank, "channel") for rank in range(1, 20)]
    assert costs == sorted(costs) and cost(layer, 0, "channel") == 6.0


def test_a_stopped_measurement_has_no_result():
    model = nn.Sequential(nn.Linear(8, 8))
    assert layer_latencies(model, find_layers(model)[0], [1, 2], stopped=lambda: True) is None


def test_a_layer_whose_weight_another_module_reads_takes_no_time_of_its_own():
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    layers = {layer.name: layer for layer in find_layers(model, (torch.zeros(2, 5, 8),))}
    cost = LatencyCost(model)
    assert cost(layers["self_attn.out_proj"], 0, "channel") == 0
    assert cost(layers["linear1"], 0, "channel") > 0
