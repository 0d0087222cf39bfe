"""The best factorization for ReLU without batch norm, with a proof of how good it is.

Two proofs, and the better one counts.

- The certificate (see `certificate`), for any rank and size; often it closes the gap alone.
- Reduction and search. Let V_k span the top k right singular vectors, P_k its projection, and Q (n, r) any orthonormal
  basis. By the triangle inequality and Cauchy-Schwarz,
      sum |w_i| | |Q^T w_i| - |Q^T P_k w_i| |  <=  sum |w_i| |Q^T (I - P_k) w_i|  <=  |W|_F |W (I - P_k) Q|_F
                                                <=  |W|_F sqrt(sigma_{k+1}^2 + ... + sigma_{k+r}^2)  =:  |W|_F tail.
  What is kept, as a share of |W|_F^2, is F = sum |w_i|^2 h(|Q^T w_i| / |w_i|)^2 / |W|_F^2, and (h^2)' = 2 h h' <= 2: F
  changes by at most 2 tail / |W|_F when each Q^T w_i is replaced by Q^T P_k w_i. P_k Q has rank r at most, and its
  singular values are at most 1, so an orthonormal basis of a space that holds its columns keeps no less. So
      max F  <=  max over r-dimensional Q in V_k of sum |w_i|^2 h(|Q^T P_k w_i| / |w_i|)^2 / |W|_F^2  +  2 tail / |W|_F.
  The maximum over Gr(r, k) is bounded by branch and bound (see `branch_and_bound`). tail <= |W|_F sqrt(r/(k+1)), so
  k = O(r/eps^2) is enough for any matrix: for fixed r and eps the work is polynomial in m and n. The measured tail
  is what is used.
"""

from collections.abc import Callable
from numbers import Real
from time import monotonic
from typing import NamedTuple

import torch
from torch import Tensor

from lrexplore.dual import function_error
from lrexplore.init.function_space import function
from lrexplore.init.problem import Problem
from lrexplore.init.rescaled import rescale
from lrexplore.linalg import Factors, check_finite, check_rank
from lrexplore.proof.branch_and_bound import Search, SearchResult
from lrexplore.proof.certificate import certificate
from lrexplore.proof.grassmann_cells import Cells

_MAX_LINE_DIMENSION = 6


class ProvenFactors(NamedTuple):
    """Balanced `factors`, the function `error` they reach, a proven `lower_bound` of the error of any factors of that
    rank, and how many `cells` of the Grassmannian were looked at (0: the certificate was enough)."""

    factors: Factors
    error: float
    lower_bound: float
    cells: int


def provable(
    weight: Tensor,
    rank: int,
    *,
    eps: float = 1e-3,
    time_limit_s: float = 60.0,
    progress: Callable[[int, int, str], None] | None = None,
    on_batch: Callable[[int, float, float], None] | None = None,
) -> ProvenFactors:
    """Factors with function error (ReLU, N(0, I) inputs) within `eps` of the best possible, or as near as time allows.

    `weight` is a matrix (m, n) or a kernel, taken as its channel matrix. `lower_bound` holds whenever it stops. The
    search closes the gap for rank 1 when at most 6 singular values matter, rank 2 at 4, and rank k - 1 at k <= 6;
    elsewhere the certificate stands alone. After every batch of cells `progress(done, 0, "cells")` is called (no
    total is known) and `on_batch(cells, error, lower_bound)`; an exception from either ends the search. Raises
    ValueError as `initialize` does, and for `eps` or a time that is not positive.

    >>> found = lr.provable(torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), rank=1, eps=0.01)
    >>> found.error - found.lower_bound <= 0.01
    True
    >>> found.factors.shape
    (3, 2)
    """
    for name, value in (("eps", eps), ("time_limit_s", time_limit_s)):
        if not isinstance(value, Real) or not value > 0:
            raise ValueError(f"`{name}` must be positive, got {value!r}. Use a small positive number.")
    deadline = monotonic() + time_limit_s
    problem = Problem.of(check_finite(weight).cpu(), "channel", "relu", None)
    rank = check_rank(rank, (problem.matrix.shape[0], problem.matrix.shape[1]))
    factors = function(problem, rank, num_starts=8)
    reduced = _reduce(problem, rank)
    # Where the search can close the gap, the certificate only gets to show whether it is needed.
    searchable = reduced is not None and reduced[2] < eps / 2
    proof = certificate(problem.matrix, factors, time_limit_s=time_limit_s / (20 if searchable else 2))
    error, bound, cells = proof.error, proof.lower_bound, 0
    if error - bound > eps and reduced is not None:
        rows, right, tail = reduced

        def report(seen: int, kept: float, top: float) -> None:
            if progress is not None:
                progress(seen, 0, "cells")
            if on_batch is not None:
                on_batch(seen, min(error, 1 - kept), max(bound, 1 - top - tail))

        search = _search(problem, rows, rank, factors, right, max(eps - tail, eps / 2), deadline, report)
        cells, bound = search.cells, max(bound, 1 - search.bound - tail)
        better = _lift(problem, search.point, rank, right)
        better_error = function_error(problem.matrix, better)
        if better_error < error:
            factors, error = better, better_error
    return ProvenFactors(factors.to(weight.device, weight.dtype), error, min(bound, error), cells)


def _reduce(problem: Problem, rank: int) -> tuple[Tensor, Tensor, float] | None:
    """Rows in the top k singular directions (m, k), the directions (k, n), and what the rest may add to F.

    k is the most that can be searched, or less when the others hardly matter; None when there is no such k.
    """
    u, s, vh = torch.linalg.svd(problem.matrix.double(), full_matrices=False)
    total = torch.linalg.vector_norm(s)
    for k in range(rank + 1, min(len(s), _MAX_LINE_DIMENSION) + 1):
        tail = 2 * float(torch.linalg.vector_norm(s[k : k + rank]) / total) + 1e-9
        last = k == min(len(s), _MAX_LINE_DIMENSION) or not Cells.covers(rank, k + 1)
        if Cells.covers(rank, k) and (last or tail < 1e-5):
            return u[:, :k] * s[:k], vh[:k], tail
    return None


def _search(
    problem: Problem,
    rows: Tensor,
    rank: int,
    factors: Factors,
    right: Tensor,
    eps: float,
    deadline: float,
    report: Callable[[int, float, float], None],
) -> SearchResult:
    """Branch and bound in the reduced coordinates, from the factors found so far."""
    alive = problem.norms > 0
    shares = problem.norms[alive] ** 2
    total = shares.sum()
    search = Search(rows[alive] / total.sqrt(), shares / total, rank)
    basis, _ = torch.linalg.qr(right @ factors.right.double().mT)
    return search.run(search.climb(basis @ basis.mT), eps, deadline, report)


def _lift(problem: Problem, point: Tensor, rank: int, right: Tensor) -> Factors:
    """The factors with the row space that a projection (k, k) stands for."""
    basis = torch.linalg.eigh(point).eigenvectors[:, -rank:].mT @ right
    double = Problem(problem.matrix.double())
    return rescale(double, double.matrix @ basis.mT, basis)
