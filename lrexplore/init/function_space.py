"""The functional power iteration: the subspace in which the layer loses least as a function.

For neurons w_i and an orthonormal basis Q of a subspace, let A = Q^T W^T and rho_i = |A_i| / |w_i|. The energy kept
when every neuron has its best norm, F = sum gain_i(rho_i), is convex in Q for every activation, because a dual
activation is a power series in rho with coefficients >= 0. So

    Q <- orthonormal basis of  W^T diag(g) A^T,    g_i = gain_i'(rho_i) / (rho_i |w_i|^2)

never decreases F: no step size, no samples. For the identity F is the energy of the SVD, and Q stays where it is.
After Vodrahalli et al. 2022 (arXiv:2202.00834) for the objective and Journee et al. 2010 for the method.
"""

from collections.abc import Iterator
from numbers import Real
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lrexplore.init.many_starts import climb_together, cosines, step_weights
from lrexplore.init.problem import Problem
from lrexplore.init.rescaled import rescale, rescaled
from lrexplore.init.spectral import spectral
from lrexplore.linalg import Factors
from lrexplore.linalg.rank import check_size

_SMALL = 1024


class _Subspace(NamedTuple):
    coordinates: Float[Tensor, "m r"]  # A^T
    mixing: Float[Tensor, "m r"] | None  # C^T with Q^T = C W, where the iteration runs on the Gram matrix of the rows
    right: Float[Tensor, "r n"] | None  # Q^T, where it runs on the matrix itself

    def rows(self, matrix: Tensor) -> Tensor:
        """Q^T, (r, n)."""
        if self.right is not None:
            return self.right
        assert self.mixing is not None  # one of the two is there
        return self.mixing.mT @ matrix


def function(
    problem: Problem,
    rank: int,
    *,
    generator: torch.Generator | None = None,
    max_steps: int = 200,
    tolerance: float = 1e-5,
    num_starts: int | None = None,
) -> Factors:
    """Factors that lose least as a function before what follows the layer; balanced.

    Starts from the top right singular directions, slightly turned at random so that a stationary point which is no
    maximum is left; stops when a step saves less than `tolerance` of the remaining loss. `num_starts` above 1 adds
    random subspaces and keeps the best: there are several local maxima where neurons are few or orthogonal. None is 16
    for a matrix of at most 1024 entries, 8 at rank 1, else 1. Never worse than `rescaled`: that comes back if no step
    helped.
    """
    for name, count in (("num_starts", num_starts), ("max_steps", max_steps)):
        if count is not None:
            check_size(count, name, 0 if name == "max_steps" else 1)
    if not isinstance(tolerance, Real) or not tolerance >= 0:
        raise ValueError(f"`tolerance` must be a number >= 0, got {tolerance!r}. Use 1e-5.")
    if num_starts is None:
        num_starts = 16 if _is_small(problem) else 8 if rank == 1 else 1
    decomposition = problem.decomposition(rank)
    if rank >= decomposition.numerical_rank:
        return spectral(problem, rank)
    start = decomposition.coordinates(rank)
    base = _gain(problem, start)
    # What is gained must stand clear of rounding, or `rescaled` itself is the answer.
    clear = 30 * torch.finfo(problem.matrix.dtype).eps * float(problem.response.energy.sum())
    best: _Subspace | None = None
    best_gain = base + clear
    for subspace, gain in _climbs(problem, rank, num_starts, generator, max_steps, tolerance):
        if gain > best_gain:
            best, best_gain = subspace, gain
    if best is None:
        return rescaled(problem, rank)
    right = best.rows(problem.matrix)
    if float((right @ right.mT - torch.eye(rank).to(right)).abs().max()) > 1e-3:
        return rescaled(problem, rank)  # the Gram matrix is too ill-conditioned: what seemed gained is rounding
    return rescale(problem, best.coordinates, right)


def _is_small(problem: Problem) -> bool:
    return problem.matrix.numel() <= _SMALL


def _climbs(
    problem: Problem,
    rank: int,
    num_starts: int,
    generator: torch.Generator | None,
    max_steps: int,
    tolerance: float,
) -> Iterator[tuple[_Subspace | None, float]]:
    """The subspaces reached from the starts, and the energy each keeps; of a small matrix only the best."""
    if generator is None:  # one for all starts, which would else be one and the same
        generator = torch.Generator(problem.matrix.device).manual_seed(0)
    starts = (_start(problem, rank, number, generator) for number in range(num_starts))
    if not _is_small(problem):
        for start in starts:
            on_rows = _is_on_rows(problem)
            subspace = _orthonormal_on_rows(problem, rank, start) if on_rows else _orthonormal(problem, start)
            yield _climb(problem, subspace, max_steps, tolerance)
        return
    basis, gain = climb_together(problem, torch.stack(list(starts)), max_steps, tolerance)
    yield _Subspace(problem.matrix @ basis, None, basis.mT), gain


def _is_on_rows(problem: Problem) -> bool:
    """Whether the iteration runs on the Gram matrix of the rows."""
    return problem.matrix.shape[0] < problem.matrix.shape[1] and not _is_small(problem)


def _start(problem: Problem, rank: int, number: int, generator: torch.Generator) -> Tensor:
    """A basis (n, r) of a starting subspace, or its C^T (m, r) where the iteration runs on the Gram matrix.

    Number 0 is the singular subspace, turned by about 1e-3; the others are random.
    """
    matrix, decomposition = problem.matrix, problem.decomposition(rank)
    m, n = matrix.shape
    on_rows = _is_on_rows(problem)
    noise = torch.randn(m if on_rows else n, rank, generator=generator, dtype=matrix.dtype, device=matrix.device)
    if on_rows:
        if number == 0:
            top = decomposition.coordinates(rank) / decomposition.values[:rank] ** 2
            noise = top + noise * (1e-3 * torch.linalg.vector_norm(top) / torch.linalg.vector_norm(noise))
    elif number == 0:
        noise = decomposition.right(rank).mT + noise * (1e-3 / n**0.5)
    return noise


def _orthonormal_on_rows(problem: Problem, rank: int, mixing: Tensor) -> _Subspace | None:
    """The subspace spanned by mixing^T W, through the Gram matrix of the rows."""
    coordinates = problem.decomposition(rank).row_gram @ mixing
    root, failed = torch.linalg.cholesky_ex(mixing.mT @ coordinates)
    if failed:
        return None
    solve = {"upper": True, "left": False}
    return _Subspace(
        torch.linalg.solve_triangular(root.mT, coordinates, **solve),
        torch.linalg.solve_triangular(root.mT, mixing, **solve),
        None,
    )


def _orthonormal(problem: Problem, basis: Tensor) -> _Subspace | None:
    """The subspace spanned by the columns of `basis` (n, r), by Cholesky; None where that fails."""
    root, failed = torch.linalg.cholesky_ex(basis.mT @ basis)
    if failed:
        return None
    basis = torch.linalg.solve_triangular(root.mT, basis, upper=True, left=False)
    return _Subspace(problem.matrix @ basis, None, basis.mT)


def _climb(
    problem: Problem, subspace: _Subspace | None, max_steps: int, tolerance: float
) -> tuple[_Subspace | None, float]:
    """The subspace reached by power steps and the energy it keeps; the last good one where rounding wins."""
    if subspace is None:
        return None, float("-inf")
    total = float(problem.response.energy.sum())
    gain = _gain(problem, subspace.coordinates)
    for _ in range(max_steps):
        coordinates = subspace.coordinates
        rho = cosines(problem, coordinates[None])
        weighted = step_weights(problem, rho, coordinates.dtype)[0] * coordinates
        if subspace.mixing is not None:
            following = _orthonormal_on_rows(problem, weighted.shape[1], weighted)
        else:
            following = _orthonormal(problem, problem.matrix.mT @ weighted)
        if following is None:
            break
        next_gain = _gain(problem, following.coordinates)
        if not next_gain > gain:
            break
        subspace, saved, gain = following, next_gain - gain, next_gain
        if saved <= tolerance * max(total - gain, 0):
            break
    return subspace, gain


def _gain(problem: Problem, coordinates: Tensor) -> float:
    """The energy kept, F."""
    return float(problem.response.gain(cosines(problem, coordinates[None])).sum())
