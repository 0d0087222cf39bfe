"""What an initializer is given: a matricized weight and what follows it."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lrexplore.dual import BatchNorm, Response, check_batch_norm, find_activation, respond
from lrexplore.linalg import Decomposition, check_finite, fit_squares, matricize, neuron_norms, rows_per_neuron


@dataclass(frozen=True, eq=False)
class Problem:
    """A matrix (m, n), how many consecutive rows make a neuron, and what follows the layer.

    What several initializers or ranks need of the matrix is computed once and kept.
    """

    matrix: Float[Tensor, "m n"]
    rows: int = 1
    activation: str = "relu"
    batch_norm: BatchNorm | None = None

    @classmethod
    def of(cls, weight: Tensor, scheme: str, activation: str, batch_norm: BatchNorm | None) -> "Problem":
        """The problem of a weight (m, n) or kernel (c_out, c_in, k_h, k_w), checked; half goes to float32."""
        find_activation(activation)
        matrix = fit_squares(matricize(check_finite(weight), scheme))
        rows = rows_per_neuron(weight.shape, scheme)
        return cls(matrix, rows, activation, check_batch_norm(batch_norm, len(matrix) // rows))

    @property
    def max_rank(self) -> int:
        """min(m, n)."""
        return min(self.matrix.shape)

    @cached_property
    def norms(self) -> Float64[Tensor, " neurons"]:
        """Norm of every neuron."""
        return neuron_norms(self.matrix, self.rows)

    @cached_property
    def response(self) -> Response:
        """Expected losses of the neurons before what follows them."""
        return respond(self.norms, self.activation, self.batch_norm)

    def decomposition(self, rank: int) -> Decomposition:
        """Singular directions of the matrix, good for at least `rank` of them."""
        decomposition = self.__dict__.get("_decomposition")
        if decomposition is None or decomposition.good_rank < rank:
            decomposition = Decomposition(self.matrix, rank)
            self.__dict__["_decomposition"] = decomposition
        return decomposition

    def spread(self, values: Float[Tensor, " neurons"]) -> Float[Tensor, "m 1"]:
        """Values as a column in the dtype of the matrix: one for every row of a neuron."""
        return values.to(self.matrix.dtype).repeat_interleave(self.rows)[:, None]


def check_generator(generator: torch.Generator | None) -> None:
    """Raises TypeError for anything but a generator of torch or None."""
    if not isinstance(generator, torch.Generator | None):
        raise TypeError(
            f"`generator` must be a torch.Generator, got a {type(generator).__name__}. Use "
            "`torch.Generator().manual_seed(0)`, or leave it out."
        )
