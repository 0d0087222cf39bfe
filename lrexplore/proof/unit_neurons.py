"""A problem in as few coordinates as it has: unit neurons in min(m, n) dimensions, float64."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lrexplore.dual import find_activation
from lrexplore.init.problem import Problem
from lrexplore.proof.fantope import projection_on
from lrexplore.proof.majorants import Majorants
from lrexplore.proof.signed_gain import SignedGain

_CONVERGED = 1e-6


class Frame:
    """Neurons of norm one as `rows` (neurons num_rows, k), k = min(m, n), with the majorants of their gains.

    Neurons that are zero are left out; what they keep of the output energy whatever the subspace is `fixed`.
    `line_gain` is the gain of all neurons on a line where that is a closed form of the cosine, else None.
    """

    def __init__(self, problem: Problem):
        matrix = problem.matrix.double()
        alive = problem.norms > 0
        self.num_rows = problem.rows
        self._unreduced = rows = self._normalized(matrix, alive)
        if matrix.shape[0] < matrix.shape[1]:
            # A QR, not the Gram matrix: what is proved for these rows has to hold for the weight to full precision.
            rows = self._normalized(torch.linalg.qr(matrix.mT, mode="r").R.mT, alive)
        self.rows, self.dimension = rows, rows.shape[1]
        energy = problem.response.energy
        self.fixed = float(energy[~alive].sum() / energy.sum())
        self.majorants = Majorants(problem.response, alive)
        leak = find_activation(problem.activation).leak
        single = problem.batch_norm is None and problem.rows == 1
        self.line_gain = SignedGain(leak) if single and leak is not None else None

    def squared_cosines(self, point: Float64[Tensor, "k k"]) -> Float64[Tensor, " neurons"]:
        """t_i = <A_i, P> for a symmetric P; in [0, 1] on the Fantope."""
        return self._by_neuron(((self.rows @ point) * self.rows).sum(1))

    def combine(self, weights: Float64[Tensor, " neurons"]) -> Float64[Tensor, "k k"]:
        """sum weights_i A_i."""
        spread = weights.repeat_interleave(self.num_rows)[:, None]
        return self.rows.mT @ (spread * self.rows)

    def subspace(self, right: Float[Tensor, "r n"], max_steps: int = 40) -> Float64[Tensor, "k k"]:
        """The projection on what the power iteration makes of the row space of `right`."""
        basis, _ = torch.linalg.qr(right.to(self.rows).mT)
        coordinates, gain = self._unreduced @ basis, 0.0
        for step in range(max_steps):
            squares = self._by_neuron(coordinates.square().sum(1))
            before, gain = gain, float(self.majorants.gain(squares).sum())
            if step > 0 and gain - before <= _CONVERGED * max(1 - gain, 0):
                break
            weighted = self.majorants.slope(squares).repeat_interleave(self.num_rows)[:, None] * coordinates
            basis, _ = torch.linalg.qr(self.rows.mT @ weighted)
            coordinates = self.rows @ basis
        return projection_on(basis)

    def kept(self, point: Float64[Tensor, "k k"]) -> float:
        """F, the share of the output energy kept at a projection P, `fixed` included."""
        return float(self.majorants.gain(self.squared_cosines(point)).sum()) + self.fixed

    def _by_neuron(self, squares: Tensor) -> Tensor:
        return squares.view(-1, self.num_rows).sum(1)

    def _normalized(self, matrix: Tensor, alive: Tensor) -> Tensor:
        """Rows of the neurons that are not zero, scaled to norm one a neuron, (neurons num_rows, columns)."""
        rows = matrix.reshape(len(alive), self.num_rows, -1)[alive]
        return (rows / torch.linalg.vector_norm(rows, dim=(1, 2), keepdim=True)).flatten(0, 1)
