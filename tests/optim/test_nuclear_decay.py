"""Nuclear decay: a proximal step of weights, weight decay of factors."""

import pytest
import torch
from torch import nn

from lrexplore.optim import NuclearDecay, parameter_groups, shrink_singular_values


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (7, 7), (1, 5)], ids=str)
@pytest.mark.parametrize("amount", [0.0, 0.3, 1.5, 100.0])
def test_every_singular_value_falls_by_the_amount_down_to_nothing(shape, amount):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    by_hand = (u * (s - amount).clamp_min(0)) @ vh
    torch.testing.assert_close(shrink_singular_values(matrix, amount), by_hand.float(), atol=1e-5, rtol=1e-4)


def test_the_step_minimizes_its_distance_plus_the_penalty():
    torch.manual_seed(0)
    matrix = torch.randn(5, 8, dtype=torch.float64)

    def objective(other):
        return 0.5 * (other - matrix).square().sum() + 0.7 * torch.linalg.svdvals(other).sum()

    best = shrink_singular_values(matrix, 0.7)
    nearby = [best + 1e-3 * torch.randn_like(best) for _ in range(200)]
    assert all(objective(best) <= objective(other) for other in nearby)


@pytest.mark.parametrize("scheme", ["channel", "spatial"])
def test_ten_steps_worth_is_taken_at_every_tenth_step_by_the_rate_of_the_weight(scheme):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Conv2d(6, 5, 1))
    before = [module.weight.detach().clone() for module in model]
    decay = NuclearDecay([model[0]], 0.2, scheme=scheme)
    groups = decay.without_decay(parameter_groups(model, decay_strength=0.1, decay_norms=False))
    assert {group["name"]: group["weight_decay"] for group in groups} == {
        "weights": 0.1, "nuclear": 0.0, "norms and biases": 0.0
    }  # fmt: skip
    optimizer = torch.optim.SGD(groups, lr=0.05)
    for number in range(1, 10):
        decay.after_step(number, optimizer)
    assert torch.equal(model[0].weight, before[0]) and decay.spent_s == 0
    decay.after_step(10, optimizer)
    assert torch.equal(model[1].weight, before[1]) and decay.spent_s > 0
    for own, was in zip(model[0].weight.chunk(2), before[0].chunk(2), strict=True):
        matrix = was.permute(0, 2, 1, 3).reshape(9, 6) if scheme == "spatial" else was.flatten(1)
        shrunk = own.permute(0, 2, 1, 3).reshape(9, 6) if scheme == "spatial" else own.flatten(1)
        torch.testing.assert_close(shrunk, shrink_singular_values(matrix, 10 * 0.2 * 0.05), atol=1e-6, rtol=1e-5)


def test_frozen_weights_stay():
    model = nn.Linear(4, 3)
    model.weight.requires_grad_(False)
    assert NuclearDecay([model], 1.0).modules == []
