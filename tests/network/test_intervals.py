"""Intervals for inputs that come in groups."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from lrexplore.network.intervals import interval_of_mean, interval_of_share


def test_without_groups_they_are_the_textbooks():
    generator = np.random.default_rng(0)
    values = generator.normal(size=40)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval_of_mean(values, range(40)) == pytest.approx((expected.low, expected.high))
    hits = (generator.random(40) < 0.8).astype(float)
    wilson = binomtest(int(hits.sum()), 40).proportion_ci(0.95, "wilson")
    found = interval_of_share(hits, range(40))
    assert found == pytest.approx((wilson.low, wilson.high), abs=0.01)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_all_or_none_is_as_sure_as_its_groups(share):
    wilson = binomtest(int(10 * share), 10).proportion_ci(0.95, "wilson")
    found = interval_of_share(np.full(200, share), [place // 20 for place in range(200)])
    assert found == pytest.approx((wilson.low, wilson.high))


def test_copies_of_an_input_add_nothing():
    generator = np.random.default_rng(1)
    values = generator.normal(size=12)
    ids = list(range(12))
    assert interval_of_mean(np.repeat(values, 5), np.repeat(ids, 5)) == pytest.approx(interval_of_mean(values, ids))
    hits = (values > 0).astype(float)
    found, expected = interval_of_share(np.repeat(hits, 5), np.repeat(ids, 5)), interval_of_share(hits, ids)
    assert found == pytest.approx(expected)


def test_they_hold_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(2)
    held = np.zeros(2)
    for _ in range(600):
        level = generator.beta(4, 2, size=15)  # the share of each photograph
        hits = (generator.random((15, 8)) < level[:, None]).astype(float).ravel()
        groups = np.repeat(range(15), 8)
        for place, find in enumerate((interval_of_mean, interval_of_share)):
            low, high = find(hits, groups)
            held[place] += low <= 4 / 6 <= high
    assert (held / 600 > 0.91).all() and (held / 600 < 0.99).all()


def test_one_group_is_no_evidence_of_others():
    assert all(map(math.isnan, interval_of_mean(np.arange(5.0), [0] * 5)))
    assert all(map(math.isnan, interval_of_share(np.ones(5), [0] * 5)))
