import torch

from lrexplore.calibration.reservoir import Reservoir


def test_every_vector_is_equally_likely_to_stay():
    counts = torch.zeros(40)
    for seed in range(400):
        reservoir = Reservoir(10, torch.Generator().manual_seed(seed))
        for part in torch.arange(40.0)[:, None].split(7):
            reservoir.add(part)
        counts[reservoir.sample(1, torch.zeros(1))[:, 0].long()] += 1
    assert counts.sum() == 400 * 10
    # binomial with mean 100 and deviation 8.7: five deviations either way
    assert (counts - 100).abs().max() < 44


def test_a_short_stream_is_kept_whole():
    reservoir = Reservoir(10, torch.Generator().manual_seed(0))
    reservoir.add(torch.arange(6.0)[:, None])
    assert sorted(reservoir.sample(1, torch.zeros(1))[:, 0].tolist()) == [0, 1, 2, 3, 4, 5]


def test_nothing_gives_an_empty_sample():
    assert Reservoir(3, torch.Generator()).sample(5, torch.zeros(1)).shape == (0, 5)
