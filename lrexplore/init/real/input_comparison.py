"""What each neuron of a layer loses on real inputs, for given factors or for all ranks of a closed form at once."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from lrexplore.init.rank_errors import RankErrors
from lrexplore.init.real.input_curves import cumulative_outputs
from lrexplore.init.real.problem import RealProblem
from lrexplore.init.real.whitened import Whitening
from lrexplore.linalg import Factors, compare_rows


def input_comparison(real: RealProblem, factors: Factors, rank: int) -> RankErrors:
    """Errors of given factors, as one point at `rank`: function errors on the held-out inputs.

    `rho` and the Frobenius error are those of the matrices, whatever the inputs.
    """
    rows = compare_rows(real.problem.matrix, factors, real.rows)
    lost = rows.difference.square().sum() / rows.weight.square().sum().clamp_min(1e-300)
    return _point(real, rank, real.outputs(factors, real.held_out), rows.rho, lost)


def closed_form_comparisons(
    real: RealProblem, ranks: Iterable[int], whitening: Whitening | None = None
) -> Iterator[RankErrors]:
    """`input_comparison` of `spectral`, or with a `whitening` of its truncations, at rising ranks, for little more
    than one.

    Under the channel scheme only, where the factors of a rank are the first columns and rows of those of the largest. A
    rank at which `spectral` does better has the numbers of `spectral`, which is what the initializer falls back on.
    """
    ranks = sorted(set(ranks))
    plain = real.problem.decomposition(ranks[-1]).truncated(ranks[-1])
    fallback = _walk(real, plain.left.double(), plain.right.double(), ranks, None)
    if whitening is None:
        yield from fallback
        return
    right = whitening.right[: ranks[-1]]
    own = _walk(real, whitening.left(right), right, ranks, real.mean if whitening.centred else None)
    for one, other in zip(own, fallback, strict=True):
        yield one if float(one.function_error) <= float(other.function_error) else other


def _walk(
    real: RealProblem, left: Tensor, right: Tensor, ranks: list[int], mean: Tensor | None
) -> Iterator[RankErrors]:
    inner = ((real.neurons @ right.mT) * left).cumsum(1)
    gram = right @ right.mT
    squares = (left * (left @ (2 * gram.triu(1) + torch.diag(gram.diagonal())))).cumsum(1).clamp_min(0)
    norms = torch.linalg.vector_norm(real.neurons, dim=1)
    total = norms.square().sum().clamp_min(1e-300)
    for rank, z in cumulative_outputs(real, left, right, ranks, mean):
        at = min(rank, inner.shape[1]) - 1
        scale = norms * squares[:, at].sqrt()
        rho = torch.where(scale > 0, inner[:, at] / scale.clamp_min(1e-300), 0).clamp(-1, 1)
        lost = (norms.square() + squares[:, at] - 2 * inner[:, at]).clamp_min(0).sum() / total
        yield _point(real, rank, z, rho, lost)


def _point(real: RealProblem, rank: int, z: Tensor, rho: Tensor, frobenius: Tensor) -> RankErrors:
    lost = (real.function(real.pre_activation(z)) - real.wanted).square().sum(0, dtype=torch.float64)
    loss = lost / real.output_energy.clamp_min(1e-300)
    ranks = torch.tensor([rank], device=z.device)
    return RankErrors(ranks, loss.sum()[None], frobenius[None], rho[:, None], loss[:, None])
