"""How sure a mean over inputs is that come in groups."""

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np

from lrexplore.network.grouping import numbered

LEVEL = 0.95


def interval_of_mean(values: np.ndarray, groups: Sequence[Hashable]) -> tuple[float, float]:
    """The 95 % interval of the mean of `values` over inputs whose groups are drawn independently; NaN for one group.

    The mean is that of all inputs; its variance is that of a ratio of sums over groups (linearized), with Student's t
    of as many degrees of freedom as there are groups less one.
    """
    from scipy.stats import t

    numbers = np.array(numbered({}, groups))
    count = int(numbers.max()) + 1
    if count < 2:
        return math.nan, math.nan
    mean = float(values.mean())
    off = np.bincount(numbers, weights=values - mean)
    error = math.sqrt(float(np.square(off).sum()) * count / (count - 1)) / len(values)
    reach = float(t.ppf((1 + LEVEL) / 2, count - 1)) * error
    return mean - reach, mean + reach


def interval_of_share(hits: np.ndarray, groups: Sequence[Hashable]) -> tuple[float, float]:
    """The 95 % interval of a share of inputs that come in groups; NaN for one group.

    Wilson's (1927), of as many trials as independent inputs would be as sure: inputs divided by how much grouping adds
    to the variance, and never more than inputs or fewer than groups (Kish's effective sample size). Where all inputs
    say the same, that of the groups.
    """
    numbers = np.array(numbered({}, groups))
    count, share = int(numbers.max()) + 1, float(hits.mean())
    if count < 2:
        return math.nan, math.nan
    trials = float(count)
    if 0 < share < 1:
        off = np.bincount(numbers, weights=hits - share)
        variance = float(np.square(off).sum()) * count / (count - 1) / len(hits) ** 2
        trials = min(max(share * (1 - share) / max(variance, 1e-30), count), len(hits))
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    reach = z / (1 + z**2 / trials) * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    # Wilson's ends at a share of 0 or 1 are these; rounding goes past them.
    return (0.0 if share == 0 else middle - reach), (1.0 if share == 1 else middle + reach)
