"""How far a covariance of inputs that come in groups is from the truth."""

import math

import pytest
import torch

from lrexplore.calibration.spread import MOST_GROUPS, Spread


@pytest.mark.parametrize(("groups", "size"), [(2, 50), (6, 40), (20, 1), (100, 5)])
def test_it_is_the_mean_squared_distance_from_the_truth(groups, size):
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(5, 5, dtype=torch.float64, generator=generator)

    def draw(groups, size):  # every group has a place and a size of its own
        normal = torch.randn(groups, size + 1, 5, dtype=torch.float64, generator=generator) @ mixing
        return 0.7 * normal[:, :1] + 1.5 * torch.rand(groups, 1, 1, generator=generator) * normal[:, 1:]

    # Cov = (.49 + 2.25 E s^2) A^T A with s uniform on 0..1
    truth = (0.49 + 2.25 / 3) * mixing.mT @ mixing
    distances, estimates = [], []
    for _ in range(250):
        x = draw(groups, size)
        spread = Spread(generator)
        spread.add(x, list(range(groups)))
        flat = x.flatten(0, 1)
        mean = flat.mean(0)
        covariance = (flat - mean).mT @ (flat - mean) / len(flat)
        distances.append(float((covariance - truth).square().sum()))
        estimates.append(spread.of_covariance(mean))
    assert sum(estimates) == pytest.approx(sum(distances), rel=0.15)


def test_crops_of_one_photograph_count_as_one():
    generator = torch.Generator().manual_seed(0)
    photographs = torch.randn(8, 1, 6, generator=generator)
    crops = (photographs + 0.01 * torch.randn(8, 20, 6, generator=generator)).flatten(0, 1)[:, None]
    mean = crops.mean((0, 1)).double()

    def variance(numbers):
        spread = Spread(torch.Generator().manual_seed(0))
        spread.add(crops, numbers)
        return spread.of_covariance(mean), spread.num_groups

    (grouped, eight), (alone, many) = variance([i // 20 for i in range(160)]), variance(list(range(160)))
    assert (eight, many) == (8, 160)
    assert grouped == pytest.approx(20 * alone, rel=0.3)
    assert variance([0] * 160) == (math.inf, 1)


def test_memory_is_bounded_however_many_groups_and_vectors_come():
    spread, draws = Spread(torch.Generator().manual_seed(0)), torch.Generator().manual_seed(1)
    for start in range(0, 400, 20):
        own = torch.randn(20, 1, 3, generator=draws)  # what the vectors of a group share: the spread is no 0
        for _ in range(30 if start == 0 else 1):
            spread.add(own + torch.randn(20, 50, 3, generator=draws), list(range(start, start + 20)))
    assert spread.num_groups == 400 and len(spread._kept) == MOST_GROUPS
    assert sum(len(part) for parts in spread._kept.values() for part in parts) < MOST_GROUPS * 12 * 9
    assert 0 < spread.of_covariance(torch.zeros(3, dtype=torch.float64)) < 1
