"""Initializers: from a weight and a rank to balanced factors."""

from lrexplore.init.error_curves import each_rank, error_curve, nested_errors, rank_grid
from lrexplore.init.initialize import initialize, required_inputs
from lrexplore.init.initializers import (
    INITIALIZERS,
    NESTED,
    REAL_INPUTS,
    find_initializer,
    initializer,
    named_initializer,
)
from lrexplore.init.problem import Problem
from lrexplore.init.rank_errors import RankErrors, single_errors
from lrexplore.init.record import Initializer
