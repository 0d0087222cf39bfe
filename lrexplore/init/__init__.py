"""Initializers: from a weight and a rank to balanced factors."""

from lrexplore.init.certificate import Certificate, certificate, floor_curve, lower_bound
from lrexplore.init.corrected import CorrectedFactors
from lrexplore.init.curves import (
    NESTED,
    RankErrors,
    each_rank,
    error_curve,
    nested_errors,
    rank_grid,
    single_errors,
)
from lrexplore.init.initialize import INITIALIZERS, REAL_INPUTS, find_initializer, initialize
from lrexplore.init.input_comparison import CLOSED, closed_form_comparisons, input_comparison
from lrexplore.init.input_curves import input_errors
from lrexplore.init.problem import Problem
from lrexplore.init.provable import ProvenFactors, provable
from lrexplore.init.real_problem import RealProblem, input_error
