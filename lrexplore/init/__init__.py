"""Initializers: from a weight and a rank to balanced factors."""

from lrexplore.init.curves import (
    NESTED,
    RankErrors,
    each_rank,
    error_curve,
    nested_errors,
    rank_grid,
    single_errors,
)
from lrexplore.init.initialize import INITIALIZERS, find_initializer, initialize
from lrexplore.init.problem import Problem
