"""Which ranks the factorized layers of a network need: by what their last directions carry, or by a budget."""

import torch
from torch import Tensor

Shape = tuple[int, int, int]  # groups, rows and columns of a group's matrix


def rank_within(values: Tensor, tolerance: float) -> int:
    """The smallest rank at which all that is cut, of every group, is at most this share of the squared norm.

    `values` are singular values (groups, rank), descending. At least 1; all where the values are not finite.
    """
    energy = values.square().sum(0)
    if not torch.isfinite(energy).all():
        return len(energy)
    cut = energy.flip(0).cumsum(0).flip(0)  # what is lost by keeping so many, from 0
    return max(1, int((cut > tolerance * cut[0]).sum()))


def ranks_within_budget(values: dict[str, Tensor], shapes: dict[str, Shape], num_to_save: int) -> dict[str, int]:
    """Ranks of the layers that save at least so many parameters, or all but one direction each.

    The direction that goes next is always the one that carries the least, as a share of its layer's squared norm, for
    each parameter that it costs.
    """
    ranks = {name: found.shape[1] for name, found in values.items()}
    steps = []
    for place, (name, found) in enumerate(values.items()):
        energy = found.square().sum(0)
        if not torch.isfinite(energy).all():
            continue
        groups, m, n = shapes[name]
        worth = (energy / energy.sum().clamp_min(1e-300) / (groups * (m + n))).tolist()
        steps += [(worth[k], place, -k, name, groups * (m + n)) for k in range(1, len(worth))]
    for _, _, k, name, num in sorted(steps):
        if num_to_save <= 0:
            break
        ranks[name] = min(ranks[name], -k)
        num_to_save -= num
    return ranks
