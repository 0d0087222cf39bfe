"""Initializers: from a weight and a rank to balanced factors."""

from lrexplore.init.error_curves import (
    NESTED,
    RankErrors,
    each_rank,
    error_curve,
    nested_errors,
    rank_grid,
    single_errors,
)
from lrexplore.init.initialize import INITIALIZERS, REAL_INPUTS, find_initializer, initialize
from lrexplore.init.problem import Problem
