"""Smoothing, thinning and averaging against brute force."""

import numpy as np
import pytest

from lrexplore.explorer.training.averages import average, smooth, thin


def noise(length, seed=0):
    return np.random.default_rng(seed).normal(size=length).cumsum()


def smoothed_one_by_one(values, weight):
    total = count = 0.0
    found = []
    for value in values:
        total, count = weight * total, weight * count
        if np.isfinite(value):
            total, count = total + value, count + 1
        found.append(total / count if np.isfinite(value) else np.nan)
    return np.array(found)


@pytest.mark.parametrize("weight", [0.1, 0.6, 0.99, 0.9999])
@pytest.mark.parametrize("length", [1, 2, 7, 1000])
def test_smoothing_is_the_recursion_done_one_by_one(weight, length):
    values = noise(length)
    np.testing.assert_allclose(smooth(values, weight), smoothed_one_by_one(values, weight), rtol=1e-10, atol=1e-12)


def test_smoothing_leaves_out_what_is_missing():
    values = noise(200)
    values[[0, 5, 6, 120]] = np.nan
    np.testing.assert_allclose(smooth(values, 0.9), smoothed_one_by_one(values, 0.9), rtol=1e-10)


def test_a_constant_stays_itself_under_any_smoothing():
    np.testing.assert_allclose(smooth(np.full(50, 3.0), 0.97), 3.0, rtol=1e-12)


def test_no_smoothing_gives_the_values_in_a_copy():
    values = noise(5)
    same = smooth(values, 0)
    same[0] = 99
    assert values[0] != 99
    np.testing.assert_array_equal(smooth(values, 0), values)


def test_every_layer_is_smoothed_alone():
    table = np.stack([noise(60, 1), noise(60, 2)], axis=1)
    np.testing.assert_array_equal(smooth(table, 0.8)[:, 1], smooth(table[:, 1], 0.8))


def test_a_weight_of_one_is_refused():
    with pytest.raises(ValueError, match=r"`weight` must lie in \[0, 1\)"):
        smooth(noise(3), 1.0)


@pytest.mark.parametrize("length", [1001, 4096, 99_999, 100_000])
def test_thinning_keeps_ends_and_extremes_of_every_stretch(length):
    values = noise(length)
    kept = thin(values, 1000)
    assert len(kept) <= 1000
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    assert kept[-1] == length - 1
    size = -(-length // 499)
    for start in range(0, length, size):
        stretch, mine = values[start : start + size], values[kept[(kept >= start) & (kept < start + size)]]
        assert mine.max() == stretch.max()
        assert mine.min() == stretch.min()


def test_a_single_peak_among_many_values_is_drawn():
    values = np.zeros(100_000)
    values[54_321] = 7
    assert 54_321 in thin(values, 100)


@pytest.mark.parametrize("length", [1001, 30_000])
def test_stretches_along_a_logarithm_keep_their_extremes_and_the_early_values(length):
    values, position = noise(length), np.log10(np.arange(1, length + 1))
    kept = thin(values, 400, position)
    assert len(kept) <= 400
    assert (np.diff(kept) > 0).all()
    assert kept[:10].tolist() == list(range(10))
    stretch = np.minimum((position / position[-1] * 199).astype(int), 198)
    for k in np.unique(stretch):
        mine = values[kept[stretch[kept] == k]]
        assert mine.max() == values[stretch == k].max()
        assert mine.min() == values[stretch == k].min()


def test_a_short_curve_is_kept_whole():
    np.testing.assert_array_equal(thin(noise(1000), 1000), np.arange(1000))


def test_missing_values_hide_no_extreme():
    values = noise(5000)
    values[::3] = np.nan
    assert np.nanmax(values[thin(values, 200)]) == np.nanmax(values)
    assert np.nanmin(values[thin(values, 200)]) == np.nanmin(values)


def test_a_mean_of_runs_at_the_same_steps_is_mean_and_sample_deviation():
    x, ys = np.arange(1, 40), [noise(39, seed) for seed in range(3)]
    grid, mean, spread = average([(x, y) for y in ys])
    np.testing.assert_array_equal(grid, x)
    for k in range(39):
        column = [y[k] for y in ys]
        center = sum(column) / 3
        assert mean[k] == pytest.approx(center)
        assert spread[k] == pytest.approx((sum((value - center) ** 2 for value in column) / 2) ** 0.5)


def test_a_mean_ends_where_the_shortest_run_ends():
    grid, mean, _ = average([(np.arange(10), np.zeros(10)), (np.arange(4), np.ones(4))])
    np.testing.assert_array_equal(grid, [0, 1, 2, 3])
    np.testing.assert_array_equal(mean, 0.5)


def test_runs_at_different_steps_meet_on_straight_lines_between_their_points():
    grid, mean, spread = average([([0.0, 4.0], [0.0, 8.0]), ([0.0, 1.0, 4.0], [1.0, 1.0, 4.0])])
    np.testing.assert_allclose(grid, [0, 1, 4])
    np.testing.assert_allclose(mean, [0.5, 1.5, 6])
    np.testing.assert_allclose(spread[1], np.std([2, 1], ddof=1))


def test_one_run_has_a_mean_and_no_spread():
    _, mean, spread = average([([0, 1], [2.0, 3.0])])
    np.testing.assert_array_equal(mean, [2, 3])
    assert np.isnan(spread).all()


def test_a_run_without_values_leaves_no_mean():
    assert [len(part) for part in average([([0, 1], [2.0, 3.0]), ([0, 1], [np.nan, np.nan])])] == [0, 0, 0]
