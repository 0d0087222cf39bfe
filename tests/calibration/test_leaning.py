"""Few real inputs lean on what the batch norms imply; many do not."""

import math

import pytest
import torch
from torch import nn

import lrexplore as lr


@pytest.fixture(scope="module")
def model():
    """A network whose batch norms have seen white images through a colored filter."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 1), nn.BatchNorm2d(24),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10),
    )  # fmt: skip
    net.train()
    for _ in range(60):
        net(images(32))
    return net.eval()


def images(count):
    """Each of its own brightness and contrast, as photographs are."""
    contrast = torch.exp(0.7 * torch.randn(count, 1, 1, 1))
    noise = contrast * torch.randn(count, 3, 12, 12) + torch.randn(count, 3, 1, 1)
    return noise * torch.tensor([2.0, 1.0, 0.3]).view(3, 1, 1)


def test_the_share_falls_from_one_as_independent_inputs_come(model):
    torch.manual_seed(1)
    shares = [lr.calibrate(model, images(count).split(64))["8"].implied_share for count in (1, 8, 64, 1024)]
    assert shares[0] == 1 and shares == sorted(shares, reverse=True) and shares[-1] < 0.05


def test_the_mixture_is_nearer_to_the_truth_than_few_inputs_are(model):
    torch.manual_seed(2)
    truth = lr.calibrate(model, images(4000).split(200), lean=False)
    distance = {True: 0.0, False: 0.0}
    for _ in range(12):
        few = images(6)
        for lean in distance:
            entry = lr.calibrate(model, [few], lean=lean)["3"]
            distance[lean] += float((entry.covariance() - truth["3"].covariance()).square().sum())
    assert distance[True] < 0.9 * distance[False]


def test_crops_of_one_photograph_say_nothing_that_is_not_implied(model):
    torch.manual_seed(3)
    crops = images(1) + 0.1 * images(64)
    found, implied = lr.calibrate(model, [crops], groups=[0] * 64), lr.implied_inputs(model)
    for name in found:
        entry = found[name]
        assert entry.num_groups == 1 and entry.implied_share == 1 and math.isinf(entry.sampling_variance)
        torch.testing.assert_close(entry.second_moment, implied[name].second_moment)
        torch.testing.assert_close(entry.mean, implied[name].mean)
        assert entry.said == "1 independent input, 100% implied by batch norm"


def test_samples_moments_and_what_is_judged_are_of_one_mixture(model):
    torch.manual_seed(4)
    entry = lr.calibrate(model, [images(60)], num_samples=2048)["3"]
    assert 0.05 < entry.implied_share < 0.95
    samples = entry.samples.double()
    assert torch.allclose(samples.mean(0), entry.mean, atol=0.15 * float(entry.covariance().diagonal().max()) ** 0.5)
    moment = samples.mT @ samples / len(samples)
    assert float((moment - entry.second_moment).norm() / entry.second_moment.norm()) < 0.15


def test_nothing_leans_where_it_is_not_wanted_or_nothing_is_implied(model):
    torch.manual_seed(5)
    assert lr.calibrate(model, [images(8)], lean=False)["3"].implied_share == 0
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    assert lr.calibrate(plain, [images(8)])["0"].implied_share == 0


def test_a_file_keeps_groups_and_shares(model, tmp_path):
    for calibration in (lr.calibrate(model, [images(8)]), lr.calibrate(model, [images(2)], groups=[0, 0])):
        calibration.save(tmp_path / "inputs.safetensors")
        again = lr.Calibration.load(tmp_path / "inputs.safetensors")
        for name, entry in calibration.items():
            assert (again[name].num_groups, again[name].implied_share) == (entry.num_groups, entry.implied_share)
            assert again[name].said == entry.said


@pytest.mark.parametrize("spread", [1.0, 1e-3, 0.0])
def test_the_energy_of_a_covariance_is_that_of_its_entries_also_beside_a_large_mean(spread):
    torch.manual_seed(3)
    net = nn.Linear(40, 8)
    inputs = lr.calibrate(net, [spread * torch.randn(64, 40) + 30])[""]
    entries = inputs.covariance()
    assert inputs.energy == pytest.approx(float(entries.square().sum()), rel=1e-5, abs=1e-300)
