"""Ranks: from a scale to an integer, what they cost, and where they stop paying."""

from math import floor
from numbers import Integral, Real


def rank_from_scale(shape: tuple[int, int], rank_scale: float, multiple: int = 1) -> int:
    """The rank max(1, round(rank_scale * min(m, n))) of a matrix of shape (m, n).

    With a `multiple` the nearest one of it instead, at least one time it and at most min(m, n).
    """
    if not isinstance(rank_scale, Real) or isinstance(rank_scale, bool) or not 0 < rank_scale <= 1:
        raise ValueError(
            f"`rank_scale` must lie in (0, 1], got {rank_scale!r}. Use an explicit rank for anything larger."
        )
    check_multiple(multiple)
    return min(max(1, floor(rank_scale * min(shape) / multiple + 0.5)) * multiple, min(shape))


def check_multiple(multiple: int) -> int:
    """The number that ranks are to be multiples of, when it is a whole number >= 1. Raises ValueError otherwise."""
    if isinstance(multiple, bool) or not isinstance(multiple, int) or multiple < 1:
        raise ValueError(
            f"`rank_multiple` must be a whole number >= 1, got {multiple!r}. Use 8 for what tensor cores take at once."
        )
    return multiple


def check_rank(rank: int, shape: tuple[int, int]) -> int:
    """The rank as an int, when it lies in 1..min(m, n). Raises ValueError otherwise."""
    whole = isinstance(rank, Real) and not isinstance(rank, bool) and rank == rank // 1
    if not whole or not 1 <= rank <= min(shape):
        raise ValueError(
            f"`rank` must be a whole number in 1..{min(shape)} for a {shape[0]} x {shape[1]} matrix, got {rank!r}. "
            "Choose one in that range; a larger inner dimension only repeats what full rank already has."
        )
    return int(rank)


def check_size(size: int, name: str, low: int = 1) -> int:
    """The size as an int, when it is a whole number of at least `low`. Raises ValueError otherwise."""
    if not isinstance(size, Integral) or isinstance(size, bool) or not low <= size < 2**31:
        raise ValueError(f"`{name}` must be a whole number in {low}..2^31-1, got {size!r}. Choose one in that range.")
    return int(size)


def num_factor_parameters(shape: tuple[int, int], rank: int) -> int:
    """Numbers stored in a factor pair: rank (m + n)."""
    return rank * (shape[0] + shape[1])


def parameter_ratio(shape: tuple[int, int], rank: int) -> float:
    """Parameters of the factor pair over those of the unfactorized matrix: rank (m + n) / (m n)."""
    return num_factor_parameters(shape, rank) / (shape[0] * shape[1])


def break_even_rank(shape: tuple[int, int]) -> int:
    """The largest rank whose factors hold fewer numbers than the matrix; 0 when none does."""
    m, n = shape
    return (m * n - 1) // (m + n)
