"""Moments changed as little as possible so that a layer's outputs have those that are known."""

import pytest
import torch

from lrexplore.calibration import least_change
from lrexplore.calibration.least_change import nearest_covariance, nearest_mean


def _covariance(n: int, seed: int) -> torch.Tensor:
    drawn = torch.randn(n, 2 * n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn @ drawn.mT / (2 * n)


def _weight(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _variances(covariance, parts, shares):
    return sum(s * ((part @ covariance) * part).sum(1) for s, part in zip(shares, parts, strict=True))


@pytest.mark.parametrize("places", [1, 4])
def test_outputs_get_the_variances_that_are_known(places, monkeypatch):
    monkeypatch.setattr(least_change, "_RIDGE", 1e-9)
    believed, true = _covariance(12, 0), _covariance(12, 1)
    parts, shares = _weight(places, 9, 12), torch.rand(places, dtype=torch.float64) + 0.1
    wanted = _variances(true, parts, shares)
    changed = nearest_covariance(believed, parts, shares, wanted)
    torch.testing.assert_close(_variances(changed, parts, shares), wanted, rtol=2e-2, atol=0)


def test_it_is_the_least_change_in_the_metric_of_what_was_believed(monkeypatch):
    monkeypatch.setattr(least_change, "_RIDGE", 1e-12)
    monkeypatch.setattr(least_change, "_FLOOR", 0.0)
    n, m = 5, 4
    believed, weight = _covariance(n, 0), _weight(m, n)
    wanted = _variances(_covariance(n, 1) * 0.1 + believed * 0.9, weight[None], torch.ones(1))
    changed = nearest_covariance(believed, weight[None], torch.ones(1, dtype=torch.float64), wanted)
    # The same as least squares over all symmetric changes, whitened by the root of what was believed.
    values, vectors = torch.linalg.eigh(believed)
    root = (vectors * values.sqrt()) @ vectors.mT
    rows = torch.stack([torch.outer(w, w).flatten() for w in weight @ root])
    least = torch.linalg.lstsq(rows, (wanted - ((weight @ believed) * weight).sum(1))[:, None], driver="gelsd").solution
    torch.testing.assert_close(changed, believed + root @ least.view(n, n) @ root, rtol=1e-6, atol=1e-8)


def test_what_already_fits_stays_and_nothing_becomes_negative():
    believed, weight = _covariance(12, 0), _weight(9, 12)
    fitting = _variances(believed, weight[None], torch.ones(1))
    kept = nearest_covariance(believed, weight[None], torch.ones(1, dtype=torch.float64), fitting)
    torch.testing.assert_close(kept, believed, rtol=1e-9, atol=1e-12)
    torn = nearest_covariance(believed, weight[None], torch.ones(1, dtype=torch.float64), 1e-6 * fitting)
    assert float(torch.linalg.eigvalsh(torn)[0]) > 0


def test_means_follow_what_the_outputs_say(monkeypatch):
    monkeypatch.setattr(least_change, "_RIDGE", 1e-9)
    weight, mean = _weight(20, 8), _weight(8, seed=5)
    found = nearest_mean(torch.zeros(8, dtype=torch.float64), _covariance(8, 0), weight, weight @ mean)
    torch.testing.assert_close(found, mean, rtol=1e-4, atol=1e-4)
