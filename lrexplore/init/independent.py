"""Factors drawn at random, independent of the weight but for its variance: the baseline."""

import torch

from lrexplore.init.problem import Problem
from lrexplore.linalg import Factors


def draw_directions(problem: Problem, generator: torch.Generator | None = None) -> Factors:
    """Full-rank standard normal factors whose first r columns and rows are those of the rank-r draw."""
    m, n = problem.matrix.shape
    dtype, device = problem.matrix.dtype, problem.matrix.device
    right = torch.randn(problem.max_rank, n, dtype=dtype, device=device, generator=generator)
    left = torch.randn(problem.max_rank, m, dtype=dtype, device=device, generator=generator).mT
    return Factors(left, right)


def entry_variance(problem: Problem) -> float:
    """Mean square of the matrix's entries."""
    return float(problem.norms.square().sum()) / problem.matrix.numel()


def independent(problem: Problem, rank: int, *, generator: torch.Generator | None = None) -> Factors:
    """Gaussian factors whose product has, in expectation, the mean square entry of the weight; balanced.

    The expectation E|left right|_F^2 = |W|_F^2 holds at every rank. Draws of different ranks from one seed are nested.
    """
    drawn = draw_directions(problem, generator)
    scale = (entry_variance(problem) / rank) ** 0.25
    return Factors(scale * drawn.left[:, :rank], scale * drawn.right[:rank]).balanced()
