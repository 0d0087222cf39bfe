"""A layer on its real inputs: its pre-activations, what follows them, and the moments of its inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lrexplore.dual import find_activation
from lrexplore.init.problem import Problem
from lrexplore.linalg import Factors, check_finite, relative, scheme_of, upcast
from lrexplore.linalg.inputs import LayerInputs

FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class Moment:
    """A second moment or covariance that is safe to invert, and what was done for that, in words."""

    matrix: Float64[Tensor, "n n"]
    note: str


class RealProblem:
    """A `Problem` with the `LayerInputs` it is solved for: moments in float64, samples in their own precision.

    An input vector has the order (row of the kernel, c_in, column), so that a neuron is `rows` consecutive rows of
    the problem's matrix, flattened, under both schemes.
    """

    def __init__(self, problem: Problem, inputs: LayerInputs):
        self.problem, self.rows = problem, problem.rows
        device = problem.matrix.device
        self.inputs = inputs if inputs.mean.device == device else inputs.to(device=device)
        self.neurons = problem.matrix.double().reshape(len(problem.matrix) // self.rows, -1)
        if self.neurons.shape != (len(inputs.scale), inputs.num_inputs):
            raise ValueError(
                f"`calibration` must be of a layer with {self.neurons.shape[0]} neurons and "
                f"{self.neurons.shape[1]} inputs, got one of {len(inputs.scale)} and {inputs.num_inputs}. "
                "Pass that layer's own entry, `calibration[name]`."
            )
        self._order = _row_order(inputs, self.rows).to(device)

    @cached_property
    def mean(self) -> Float64[Tensor, " n"]:
        """Mean input, rows of the kernel after each other."""
        return self.inputs.mean[self._order]

    @cached_property
    def held_out(self) -> Float[Tensor, "h n"]:
        """Vectors to judge by."""
        return self._ordered(self.inputs.judged)

    @cached_property
    def samples(self) -> Float[Tensor, "s n"]:
        """Vectors to fit to."""
        return self._ordered(self.inputs.samples)

    def _ordered(self, vectors: Tensor) -> Tensor:
        return upcast(vectors if self.rows == 1 else vectors[:, self._order])

    def exact(self, vectors: Float[Tensor, "vectors n"]) -> Float[Tensor, "vectors neurons"]:
        """z = W x of the unfactorized layer."""
        return vectors @ self.neurons.to(vectors.dtype).mT

    def moment(self, *, centred: bool) -> Moment:
        """Second moment, or covariance, (rows n, rows n), shrunk and floored.

        Shrinkage to a multiple of the identity with the intensity of Ledoit & Wolf 2004, for which the spread between
        groups of inputs is used (patches of one are not independent); none where the inputs lean on implied ones.
        Then eigenvalues below 1e-6 of the mean one are raised to it.
        """
        matrix = self.inputs.covariance() if centred else self.inputs.second_moment
        if self.rows > 1:
            matrix = matrix[self._order][:, self._order]
        n = len(matrix)
        level = float(matrix.diagonal().mean())
        if not level > 0:
            return Moment(torch.eye(n, dtype=torch.float64, device=matrix.device), "constant inputs: no moments")
        distance = float(matrix.square().sum()) - n * level**2
        shrinkage = min(1.0, self.inputs.sampling_variance / distance) if distance > 0 else 1.0
        if self.inputs.implied_share:  # it leans on something better already
            shrinkage = 0.0
        spread = self.inputs.covariance().diagonal()
        constant = int((spread <= FLOOR * self.inputs.second_moment.diagonal().mean()).sum())
        lifted = (1 - shrinkage) * matrix
        lifted.diagonal().add_(max(shrinkage, FLOOR) * level)
        notes = [f"shrinkage {shrinkage:.2g}"] if shrinkage > 0.01 else []
        notes += [f"{constant} of {n} inputs (nearly) constant"] if constant else []
        if self.inputs.source or self.inputs.are_few:
            notes.append(self.inputs.said)
        if not self.inputs.source and self.inputs.num_vectors < n:
            notes.append(f"{self.inputs.num_vectors} vectors for {n} inputs")
        return Moment(lifted, ", ".join(notes))

    @cached_property
    def sensitivity(self) -> Float64[Tensor, " neurons"]:
        """Root mean square slope of every neuron's output in its pre-activation W x.

        For ReLU |scale| sqrt(P(active)): a neuron's errors count as much as they are seen, 1 % of the largest at least.
        """
        with torch.inference_mode(False), torch.enable_grad():
            u = self.pre_activation(self.exact(self.samples)).clone().requires_grad_()
            [slope] = torch.autograd.grad(self.function(u).sum(), u)
        weight = slope.double().square().mean(0).sqrt() * self.inputs.scale.abs()
        return weight.clamp_min(1e-2 * float(weight.max())) if weight.max() > 0 else torch.ones_like(weight)

    @property
    def function(self) -> Callable[[Tensor], Tensor]:
        """The activation."""
        return find_activation(self.problem.activation).function

    def pre_activation(self, z: Float[Tensor, "vectors neurons"]) -> Float[Tensor, "vectors neurons"]:
        """u = scale * z + shift of z = W x."""
        return z * self.inputs.scale.to(z.dtype) + self.inputs.shift.to(z.dtype)

    def outputs(self, factors: Factors, vectors: Float[Tensor, "vectors n"]) -> Float[Tensor, "vectors neurons"]:
        """z under the factors and their bias correction."""
        hidden = vectors.reshape(len(vectors), self.rows, -1) @ factors.right.to(vectors.dtype).mT
        left = factors.left.to(vectors.dtype).reshape(len(self.neurons), -1)
        bias = getattr(factors, "bias", None)
        z = hidden.flatten(1) @ left.mT
        return z if bias is None else z + bias.to(z.dtype)

    @cached_property
    def wanted(self) -> Float[Tensor, "h neurons"]:
        """The layer's outputs on `held_out`, after what follows it."""
        return self.function(self.pre_activation(self.exact(self.held_out)))

    @cached_property
    def output_energy(self) -> Float64[Tensor, ""]:
        """Sum of the squares of `wanted`."""
        return self.wanted.square().sum(dtype=torch.float64)

    def relative_loss(self, z: Float[Tensor, "h neurons"]) -> float:
        """Sum of squared differences from `wanted` at outputs z on `held_out`, relative."""
        lost = (self.function(self.pre_activation(z)) - self.wanted).square().sum(dtype=torch.float64)
        return relative(lost, self.output_energy)

    def fitting_error(self, factors: Factors) -> float:
        """Relative function error of the factors on the fitting samples."""
        wanted = self.function(self.pre_activation(self.exact(self.samples)))
        outputs = self.function(self.pre_activation(self.outputs(factors, self.samples)))
        return relative((outputs - wanted).square().sum(), wanted.square().sum())

    def error(self, factors: Factors) -> float:
        """Relative function error of the factors on the held-out vectors."""
        return self.relative_loss(self.outputs(factors, self.held_out))


def _row_order(inputs: LayerInputs, rows: int) -> Tensor:
    """Where each entry of a vector in (row, c_in, column) order stands in the patch (c_in, row, column)."""
    k_h, k_w = inputs.kernel_size
    places = torch.arange(inputs.num_inputs)
    return places if rows == 1 else places.view(-1, k_h, k_w).permute(1, 0, 2).flatten()


def input_error(weight: Tensor, factors: Factors, calibration: LayerInputs, *, activation: str = "relu") -> float:
    """Relative function error sum |s(u) - s(u')|^2 / sum |s(u)|^2 on held-out real inputs of the layer.

    u = scale * (W x) + shift, then the activation s: bias and batch norm act as in evaluation mode, with the factors'
    bias correction if they bring one. `calibration` is the layer's entry; where its loader had one input only, its
    fitting samples are used. Raises ValueError for an entry or factors of another layer.

    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU())
    >>> calibration = lr.calibrate(model, [torch.randn(64, 8) * torch.arange(8)])
    >>> weight, entry = model[0].weight, calibration["0"]
    >>> whitened = lr.initialize(weight, rank=2, initializer="whitened", calibration=entry)
    >>> spectral = lr.initialize(weight, rank=2, initializer="spectral")
    >>> lr.input_error(weight, whitened, entry) <= lr.input_error(weight, spectral, entry)
    True
    """
    if not isinstance(calibration, LayerInputs):
        raise TypeError(
            f"`calibration` must be the entry of one layer, got a {type(calibration).__name__}. Pass "
            "`calibration[name]`."
        )
    problem = Problem.of(weight, scheme_of(check_finite(weight).shape, factors), activation, None)
    return RealProblem(problem, calibration).error(factors)
