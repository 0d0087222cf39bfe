"""Training curves as arrays: smoothed, thinned out for the screen, averaged over runs. Numpy only, no widget."""

from collections.abc import Sequence

import numpy as np


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average along the first axis: every earlier value counts `weight` times the next one.

    Debiased: the first values are averages of what there is, not drawn to zero. NaN counts nothing and stays NaN.
    Costs a few milliseconds for 100,000 values. Raises ValueError for a weight outside [0, 1).
    """
    if not 0 <= weight < 1:
        raise ValueError(f"`weight` must lie in [0, 1), got {weight}. Use 0 for the values as they are.")
    values = np.asarray(values, dtype=np.float64)
    if weight == 0:
        return values.copy()
    finite = np.isfinite(values)
    total, count = np.where(finite, values, 0.0), finite.astype(np.float64)
    # The sum over k of (weight S)^k, S a shift by one, is the product over j of 1 + (weight S)^(2^j).
    shift, factor = 1, weight
    while shift < len(values) and factor > 1e-17:
        for sums in (total, count):
            sums[shift:] += factor * sums[:-shift]
        shift, factor = 2 * shift, factor * factor
    averages = np.full(values.shape, np.nan)
    np.divide(total, count, out=averages, where=finite)
    return averages


def thin(values: np.ndarray, num_points: int = 1000, position: np.ndarray | None = None) -> np.ndarray:
    """Indices, ascending, of at most `num_points` values (at least 4) to draw in the place of all.

    The first and the last one, and the smallest and the largest of each of equally long stretches: what is drawn
    are values that exist, and no peak is lost. Stretches count values, or are equally long along `position`
    (ascending; such as the logarithm of x). NaN is drawn only where a stretch has nothing else.
    """
    if num_points < 4:
        raise ValueError(f"`num_points` must be at least 4, got {num_points}. Ask for more.")
    length = len(values)
    if length <= num_points:
        return np.arange(length)
    num_stretches = (num_points - 2) // 2
    ends = np.array([0, length - 1])
    if position is None:
        size = -(-length // num_stretches)
        # The last stretch is filled up with the last value.
        rows = np.minimum(np.arange(num_stretches * size), length - 1).reshape(num_stretches, size)
        padded = np.asarray(values, dtype=np.float64)[rows]
        unknown = np.isnan(padded)
        least = np.where(unknown, np.inf, padded).argmin(axis=1)
        most = np.where(unknown, -np.inf, padded).argmax(axis=1)
        stretch = np.arange(num_stretches)
        return np.unique(np.concatenate([ends, rows[stretch, least], rows[stretch, most]]))
    span = position[-1] - position[0]
    stretch = np.minimum((position - position[0]) / (span or 1) * num_stretches, num_stretches - 1).astype(int)
    finite = np.flatnonzero(np.isfinite(values))
    if not len(finite):
        return ends
    order = finite[np.lexsort((np.asarray(values)[finite], stretch[finite]))]
    borders = np.flatnonzero(np.diff(stretch[order])) + 1
    least, most = order[np.concatenate([[0], borders])], order[np.concatenate([borders, [len(order)]]) - 1]
    return np.unique(np.concatenate([ends, least, most]))


def average(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, mean and standard deviation (of a sample: n - 1; NaN for one curve) of curves given as (x ascending, y).

    At every x of any of them that lies where all of them are known; between its own points a curve is a straight
    line. So the mean ends where the shortest curve ends: it never jumps because a curve joins or leaves.
    """
    finite = [(np.asarray(x)[keep], np.asarray(y)[keep]) for x, y in curves for keep in [_finite(x, y)]]
    if not finite or any(len(x) == 0 for x, _ in finite):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    first = finite[0][0]
    if all(len(x) == len(first) and np.array_equal(x, first) for x, _ in finite):
        grid, table = first, np.stack([y for _, y in finite])
    else:
        grid = np.unique(np.concatenate([x for x, _ in finite]))
        low, high = max(x[0] for x, _ in finite), min(x[-1] for x, _ in finite)
        grid = grid[(grid >= low) & (grid <= high)]
        table = np.stack([np.interp(grid, x, y) for x, y in finite])
    spread = table.std(axis=0, ddof=1) if len(table) > 1 else np.full(len(grid), np.nan)
    return grid, table.mean(axis=0), spread


def _finite(x, y) -> np.ndarray:
    return np.isfinite(x) & np.isfinite(y)
