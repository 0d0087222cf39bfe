"""The functional power iteration from many starts at once: in small matrices a call costs more than its step."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lrexplore.init.problem import Problem


def climb_together(
    problem: Problem, bases: Float[Tensor, "starts n r"], max_steps: int, tolerance: float
) -> tuple[Float[Tensor, "n r"], float]:
    """The best subspace reached, as an orthonormal basis, and the energy it keeps.

    `bases` span the subspaces to start from. Each is moved as in `function_space`, until a step saves
    less than `tolerance` of what it still loses, or none.
    """
    total = float(problem.response.energy.sum())
    bases = torch.linalg.qr(bases).Q
    coordinates = problem.matrix @ bases
    rho = cosines(problem, coordinates)
    gains = problem.response.gain(rho).sum(0)
    moving = torch.ones_like(gains, dtype=torch.bool)
    for _ in range(max_steps):
        weighted = step_weights(problem, rho, coordinates.dtype) * coordinates
        next_bases = torch.linalg.qr(problem.matrix.mT @ weighted).Q
        next_coordinates = problem.matrix @ next_bases
        next_rho = cosines(problem, next_coordinates)
        next_gains = problem.response.gain(next_rho).sum(0)
        better = moving & (next_gains > gains)
        moving = better & (next_gains - gains > tolerance * (total - next_gains).clamp_min(0))
        bases = torch.where(better[:, None, None], next_bases, bases)
        coordinates = torch.where(better[:, None, None], next_coordinates, coordinates)
        rho, gains = torch.where(better, next_rho, rho), torch.where(better, next_gains, gains)
        if not moving.any():
            break
    best = int(gains.argmax())
    return bases[best], float(gains[best])


def cosines(problem: Problem, coordinates: Float[Tensor, "starts m r"]) -> Float64[Tensor, "neurons starts"]:
    """Cosine between each neuron and each subspace; 0 for a dead neuron."""
    norms = problem.norms[:, None]
    squares = coordinates.square().sum(2).double().view(len(coordinates), len(norms), -1).sum(2)
    return torch.where(norms > 0, squares.mT.sqrt() / norms, 0).clamp(0, 1)


def step_weights(
    problem: Problem, rho: Float64[Tensor, "neurons starts"], dtype: torch.dtype
) -> Float[Tensor, "starts m 1"]:
    """The weights g of the neurons, one for every row of the matrix, scaled to mean one."""
    norms = problem.norms[:, None]
    slopes = problem.response.gain_slope(rho) / (rho.clamp_min(torch.finfo(dtype).eps) * norms**2)
    slopes = torch.where(norms > 0, slopes, 0)
    slopes = slopes / slopes.mean(0)
    return slopes.mT.to(dtype).repeat_interleave(problem.rows, 1)[..., None]
