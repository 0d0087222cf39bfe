"""What every rank-1 factorization of a weight loses, as a function of the one direction it keeps (ReLU, no batch norm).

For a unit vector q, neuron w_i keeps its cosine rho_i = |w_i.q| / |w_i|: with its best norm it loses
|w_i|^2 (1 - h(rho_i)^2) / 2, as a plain projection |w_i|^2 (1 + rho_i^2 - 2 rho_i h(rho_i)) / 2.
"""

from math import pi

import torch
from torch import Tensor

from lrexplore.proof.chords import relu_gain


def rank_one_errors(weight: Tensor, lines: Tensor, *, best_norms: bool = True) -> Tensor:
    """Function errors (lines,) of the rank-1 factors of a weight (m, n) along unit vectors `lines` (lines, n).

    Every neuron has its best norm there, or, without `best_norms`, that of its projection.
    """
    weight, lines = weight.double(), lines.double()
    energy = weight.square().sum(1)
    weight, energy = weight[energy > 0], energy[energy > 0]
    squares = ((lines @ weight.mT).square() / energy).clamp(0, 1)
    lost = 1 - relu_gain(squares)
    if not best_norms:
        lost = 1 + squares - 2 * (squares * relu_gain(squares)).sqrt()
    return lost @ (energy / energy.sum())


def directions_of_plane(degrees: Tensor) -> Tensor:
    """Unit vectors (angles, 2) at these angles from the first axis."""
    angle = degrees.double() * (pi / 180)
    return torch.stack([torch.cos(angle), torch.sin(angle)], 1)


def directions_of_space(num_polar: int = 61, num_around: int = 121) -> Tensor:
    """Unit vectors (num_polar, num_around, 3) on parallels and meridians of the whole sphere, poles included."""
    polar = torch.linspace(0, pi, num_polar, dtype=torch.float64)[:, None]
    around = torch.linspace(0, 2 * pi, num_around, dtype=torch.float64)
    flat = [torch.sin(polar) * torch.cos(around), torch.sin(polar) * torch.sin(around)]
    return torch.stack([*flat, torch.cos(polar).expand(-1, num_around)], 2)
