"""Spectral initialization: the best approximation of the weight as a matrix."""

import torch

from lrexplore.init.problem import Problem
from lrexplore.linalg import Factors


def spectral(problem: Problem, rank: int, *, generator: torch.Generator | None = None) -> Factors:
    """The truncated SVD with its singular values split evenly (Khodak et al. 2021, arXiv:2105.01029)."""
    return problem.decomposition(rank).truncated(rank)
