"""Spectral initialization for real inputs: the best approximation of the layer's outputs, not of its weight.

For inputs with second moment C, E|Wx - Yx|^2 = |(W - Y) C^1/2|_F^2, so the answer is a truncated SVD of W C^1/2.
With the bias free to move by (W - Y) E x, C is the covariance; and D W C^1/2, D diagonal, counts each neuron's
error as it is seen after the activation. The whitening is after Wang et al. 2024 (SVD-LLM, arXiv:2403.07378), with
eigenvalue decompositions in place of their Cholesky factor.

Under the spatial scheme the factors act on each row of the kernel alike. There C is approximated by A (x) B, B the
mean second moment of one row and A the correlations of the rows, for which the SVD of D A^1/2 W B^1/2 is the answer;
`left` is then solved for exactly, with C itself.
"""

from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor

from lrexplore.init.problem import Problem
from lrexplore.init.real.corrected import CorrectedFactors
from lrexplore.init.real.problem import RealProblem
from lrexplore.init.spectral import spectral
from lrexplore.linalg.decomposition import symmetric_root
from lrexplore.linalg.inputs import LayerInputs


class Whitening:
    """The directions in which a layer's outputs vary most on its inputs; good for all ranks at once."""

    def __init__(self, real: RealProblem, *, centred: bool = True, weighted: bool = True):
        self.real, self.centred = real, centred
        moment = real.moment(centred=centred)
        self.note = moment.note
        self.matrix = moment.matrix
        rows, n = real.rows, len(moment.matrix) // real.rows
        weight = real.sensitivity if weighted else torch.ones_like(real.sensitivity)
        blocks = moment.matrix.view(rows, n, rows, n)
        self.row_moment = blocks.diagonal(dim1=0, dim2=2).mean(-1) if rows > 1 else moment.matrix
        if rows > 1:
            correlation = torch.einsum("anbm,nm->ab", blocks, self.row_moment) / self.row_moment.square().sum()
            self.row_root = symmetric_root(*_eigh(correlation))
        else:
            self.row_root = torch.ones(1, 1, dtype=torch.float64, device=blocks.device)
        neurons = weight[:, None, None] * real.neurons.view(-1, rows, n)
        self._weighted = (self.row_root @ neurons).reshape(-1, n)

    @cached_property
    def right(self) -> Float64[Tensor, "k n"]:
        """Rows, min(m, n) at most, in falling order of importance; the first r are the right factor of rank r.

        Under the channel scheme they are orthonormal in C.
        """
        matrix, moment = self._weighted, self.row_moment
        m, n = matrix.shape
        if m < n:
            # The eigenvectors of the outputs' moment give the rows without a root of C.
            squares, vectors = _eigh(matrix @ moment @ matrix.mT)
            values = squares.flip(0).clamp_min(0).sqrt()
            good = values > 1e-7 * values[0]
            return (vectors.flip(1).mT @ matrix)[good] / values[good, None]
        scales, basis = _eigh(moment)
        scales = scales.clamp_min(1e-12 * float(scales[-1])).sqrt()
        whitened = (matrix @ basis) * scales
        _, vectors = _eigh(whitened.mT @ whitened)
        return (vectors.flip(1).mT / scales) @ basis.mT

    def left(self, right: Float64[Tensor, "r n"]) -> Float64[Tensor, "m r"]:
        """The left factor that loses least for the rows `right`, each neuron by itself."""
        real, rows = self.real, self.real.rows
        features = torch.block_diag(*[right] * rows) if rows > 1 else right
        seen = features @ self.matrix
        gram = seen @ features.mT
        gram.diagonal().add_(1e-12 * float(gram.diagonal().mean()))
        left = torch.linalg.solve(gram, seen @ real.neurons.mT).mT
        return left.reshape(len(real.problem.matrix), -1)

    def bias(self, left: Float64[Tensor, "m r"], right: Float64[Tensor, "r n"]) -> Float64[Tensor, " neurons"] | None:
        """What keeps the mean of every output, (W - Y) E x; None where the mean is not taken out."""
        if not self.centred:
            return None
        real = self.real
        mean = real.mean.view(real.rows, -1) @ right.mT
        return real.neurons @ real.mean - left.view(len(real.neurons), -1) @ mean.flatten()

    def factors(self, rank: int) -> CorrectedFactors:
        """The factors of a rank, with their bias correction; balanced."""
        right = self.right[:rank]
        if len(right) < rank:
            right = torch.cat([right, right.new_zeros(rank - len(right), right.shape[1])])
            kept = self.left(right[: len(self.right)])
            left = torch.cat([kept, kept.new_zeros(len(kept), rank - kept.shape[1])], 1)
        else:
            left = self.left(right)
        return CorrectedFactors(left, right, self.bias(left, right), self.note).balanced()


def _eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors. Raises ValueError for a matrix that has none in numbers."""
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:  # what the library says of NaN, infinity and numbers near the end of the range
        peak = float(matrix.abs().max())
        raise ValueError(
            f"`calibration` must be of inputs and weights of a usual size, got moments up to {peak:.3g}. Normalize the "
            "inputs, or leave the layer out."
        ) from None
    return values, vectors


def no_worse(real: RealProblem, factors: CorrectedFactors, rank: int) -> CorrectedFactors:
    """The factors, or those of `spectral` with a note where these do better on the held-out inputs."""
    fallback = spectral(real.problem, rank)
    own, other = real.error(factors), real.error(fallback)
    if own <= other:
        return factors
    said = f"spectral taken: {other:.3g} on held-out inputs against {own:.3g}"
    note = ", ".join(part for part in (said, factors.note) if part)
    return CorrectedFactors(fallback.left.double(), fallback.right.double(), None, note)


def whitened(
    problem: Problem, rank: int, *, calibration: LayerInputs, generator: torch.Generator | None = None
) -> CorrectedFactors:
    """The truncated SVD of D W C^1/2: C the covariance, D what each neuron's error counts after what follows it.

    With the bias correction (W - Y) E x. On the held-out inputs never worse than `spectral`, which is what comes back
    where it does better; `note` says so.
    """
    real = RealProblem(problem, calibration)
    return no_worse(real, Whitening(real).factors(rank), rank)


def implied(
    problem: Problem, rank: int, *, calibration: LayerInputs, generator: torch.Generator | None = None
) -> CorrectedFactors:
    """`whitened` on the inputs that the network's batch norms imply: `calibration` is of `lr.implied_inputs`."""
    return whitened(problem, rank, calibration=calibration, generator=generator)


def whitened_centred(
    problem: Problem, rank: int, *, calibration: LayerInputs, generator: torch.Generator | None = None
) -> CorrectedFactors:
    """The truncated SVD of W C^1/2, C the covariance, with its bias correction; otherwise as `whitened`."""
    real = RealProblem(problem, calibration)
    return no_worse(real, Whitening(real, weighted=False).factors(rank), rank)


def whitened_plain(
    problem: Problem, rank: int, *, calibration: LayerInputs, generator: torch.Generator | None = None
) -> CorrectedFactors:
    """The truncated SVD of W C^1/2, C the second moment, without a bias correction; otherwise as `whitened`."""
    real = RealProblem(problem, calibration)
    return no_worse(real, Whitening(real, centred=False, weighted=False).factors(rank), rank)
