"""Initializers for real inputs, and what factors lose on them."""

from lrexplore.init.real.corrected import CorrectedFactors
from lrexplore.init.real.problem import RealProblem, input_error
