"""The functional power iteration on whitened weights: Gaussian theory, with the moments of the real inputs."""

from dataclasses import replace

import torch

from lrexplore.dual import BatchNorm
from lrexplore.init.function_space import function
from lrexplore.init.problem import Problem
from lrexplore.init.real.corrected import CorrectedFactors
from lrexplore.init.real.problem import RealProblem
from lrexplore.init.real.whitened import Whitening, no_worse
from lrexplore.linalg.inputs import LayerInputs


def whitened_function(
    problem: Problem, rank: int, *, calibration: LayerInputs, generator: torch.Generator | None = None
) -> CorrectedFactors:
    """Factors in the subspace that loses least as a function if the real inputs were Gaussian with their moments.

    Every pre-activation is then Gaussian with its own mean and variance, as after a batch norm, and the power
    iteration of `function` runs on W C^1/2. `left` is solved for exactly in that subspace. The better of this and
    `whitened` on the fitting samples; on the held-out inputs never worse than `spectral`.
    """
    real = RealProblem(problem, calibration)
    whitening = Whitening(real)
    plain = whitening.factors(rank)
    climbed = _power_iteration(real, whitening, rank, generator)
    if real.fitting_error(climbed) > real.fitting_error(plain):
        climbed = replace(plain, note=", ".join(filter(None, ("the power iteration did no better", plain.note))))
    return no_worse(real, climbed, rank)


def _power_iteration(
    real: RealProblem, whitening: Whitening, rank: int, generator: torch.Generator | None
) -> CorrectedFactors:
    root = torch.linalg.cholesky(whitening.row_moment)
    correlated = (whitening.row_root @ real.neurons.view(len(real.neurons), real.rows, -1)) @ root
    std = torch.linalg.vector_norm(correlated.flatten(1), dim=1)
    inputs = real.inputs
    mean = inputs.shift + inputs.scale * (real.neurons @ real.mean)
    gaussian = Problem(
        correlated.reshape(len(real.problem.matrix), -1),
        real.rows,
        real.problem.activation,
        BatchNorm(inputs.scale.abs() * std, mean),
    )
    white = function(gaussian, rank, generator=generator).right.double()
    right = torch.linalg.solve_triangular(root, white, upper=False, left=False)
    left = whitening.left(right)
    return CorrectedFactors(left, right, whitening.bias(left, right), whitening.note).balanced()
