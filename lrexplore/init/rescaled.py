"""Spectral subspace, every neuron rescaled to the norm that loses least as a function."""

import torch
from jaxtyping import Float
from torch import Tensor

from lrexplore.init.problem import Problem
from lrexplore.linalg import Factors, balance_orthonormal, neuron_norms


def rescaled(problem: Problem, rank: int, *, generator: torch.Generator | None = None) -> Factors:
    """The truncated SVD with each projected neuron brought to its best norm, |w| h(rho) for ReLU; balanced.

    Exact for the given subspace: no other left factor loses less (Vodrahalli et al. 2022, arXiv:2202.00834).
    After batch norm the norm of a neuron is immaterial unless it is zero, and it gets that of the neuron it replaces.
    (A neuron of zeros would lose less where rho is small, but it would not be the layer's neuron any more.)
    """
    decomposition = problem.decomposition(rank)
    return rescale(problem, decomposition.coordinates(rank), decomposition.right(rank))


def rescale(problem: Problem, coordinates: Float[Tensor, "m r"], right: Float[Tensor, "r n"]) -> Factors:
    """Balanced factors of the projected neurons, each brought to its best norm.

    `coordinates`: rows of the matrix in the orthonormal rows of `right`.
    """
    projected = neuron_norms(coordinates, problem.rows)
    alive = problem.norms > 0
    rho = torch.where(alive, projected / problem.norms, 0).clamp(0, 1)
    orthogonal = alive & (projected == 0)
    if orthogonal.any():
        # Any direction of the subspace is as good as another for such a neuron, and better than none.
        coordinates, projected = coordinates.clone(), projected.clone()
        coordinates[orthogonal.nonzero()[:, 0] * problem.rows, 0] = 1
        projected[orthogonal] = 1
    factor = torch.where(alive & (projected > 0), problem.response.best_norm(rho) / projected, 0)
    return balance_orthonormal(coordinates * problem.spread(factor), right)
