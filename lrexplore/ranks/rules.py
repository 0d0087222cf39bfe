"""Rank rules that others use, to compare with: each has one knob, turned until the budget is met."""

from collections.abc import Callable

import numpy as np
import torch

from lrexplore import linalg
from lrexplore.ranks.options import Options

Rule = Callable[[np.ndarray, tuple[int, int], float], int]
"""(singular values, matrix shape, knob in [0, 1]) -> rank, growing with the knob."""


def uniform(values: np.ndarray, shape: tuple[int, int], knob: float) -> int:
    """One rank scale for all layers (bisected to a budget as in Khodak et al. 2021, arXiv:2105.01029)."""
    return max(1, round(knob * len(values)))


def energy(values: np.ndarray, shape: tuple[int, int], knob: float) -> int:
    """The least rank that keeps this share of the squared Frobenius norm."""
    kept = linalg.energy(torch.as_tensor(values)).numpy()
    return int(np.searchsorted(kept, knob * (1 - 1e-12))) + 1


def stable_rank(values: np.ndarray, shape: tuple[int, int], knob: float) -> int:
    """A multiple, 0 to 16, of |W|_F^2 / |W|_2^2 (as in Cuttlefish: Wang et al. 2023, arXiv:2305.02538)."""
    return max(1, round(16 * knob * linalg.stable_rank(torch.as_tensor(values))))


def marchenko_pastur(values: np.ndarray, shape: tuple[int, int], knob: float) -> int:
    """Singular values above a multiple of the optimal hard threshold for unknown noise (Gavish & Donoho 2014).

    Knob 0.5 is the rule itself; the multiple is 1 / knob - 1.
    """
    threshold = (1 / max(knob, 1e-9) - 1) * linalg.noise_threshold(torch.as_tensor(values), shape)
    return max(1, int((values > threshold).sum()))


RULES: dict[str, Rule] = {
    "uniform": uniform,
    "energy": energy,
    "stable_rank": stable_rank,
    "marchenko_pastur": marchenko_pastur,
}


def picks_by_rule(
    options: list[Options], spectra: dict[str, np.ndarray], rule: Rule, budget: float, scheme: str
) -> tuple[list[int], float]:
    """The choice of every layer by a rule within `budget`, and the knob: the largest that fits, by bisection.

    A layer whose rank would not pay stays as it is; pinned layers stay pinned. Raises ValueError where even knob 0
    costs more than the budget.
    """

    def picks(knob: float) -> list[int]:
        return [_pick(option, spectra, rule, knob, scheme) for option in options]

    def cost(chosen: list[int]) -> float:
        return sum(float(option.costs[pick]) for option, pick in zip(options, chosen, strict=True))

    if cost(picks(0.0)) > budget:
        raise ValueError(
            f"`budget` must be at least {cost(picks(0.0)):g} by this rule, got {budget:g}. "
            "Use the method 'optimal', or a larger budget."
        )
    low, high = 0.0, 1.0
    # Leaving a layer as it is where its rank does not pay makes the cost jump, not fall: bisection stays right.
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(picks(middle)) <= budget else (low, middle)
    return picks(low), low


def _pick(option: Options, spectra: dict[str, np.ndarray], rule: Rule, knob: float, scheme: str) -> int:
    if option.pinned or len(option.ranks) == 1:
        return 0
    used = scheme if scheme in option.schemes[1:] else option.schemes[-1]
    rank = rule(spectra[option.layer.name], option.layer.matrix_shape(used), knob)
    picks = [
        number for number, (r, s) in enumerate(zip(option.ranks, option.schemes, strict=True))
        if r >= rank and s == used  # the next multiple, where only multiples are choices
    ]  # fmt: skip
    return picks[0] if picks else 0
