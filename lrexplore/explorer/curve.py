"""A curve against rank, and values between the ranks that are known."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curve:
    """Both relative errors of one initializer at the ranks where they are known, ascending."""

    ranks: np.ndarray
    function_error: np.ndarray
    frobenius_error: np.ndarray


def interpolate(wanted: np.ndarray, ranks: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Rows of `values` (ranks, ...) at `wanted`, linear between known ranks, constant outside."""
    at = np.clip(np.searchsorted(ranks, wanted), 1, max(len(ranks) - 1, 1))
    if len(ranks) == 1:
        return np.repeat(values, len(wanted), axis=0)
    low, high = ranks[at - 1], ranks[at]
    share = np.clip((wanted - low) / (high - low), 0, 1)[:, None].astype(np.float32)
    return values[at - 1] * (1 - share) + values[at] * share
