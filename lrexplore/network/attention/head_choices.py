"""What the caller chose for each head, checked before anything is computed."""

from collections.abc import Mapping
from difflib import get_close_matches
from numbers import Real

from torch import nn

from lrexplore.linalg.rank import check_size
from lrexplore.network.attention.find_heads import Head, find_heads


def choose_head_ranks(model: nn.Module, heads: float | Mapping[str, int]) -> dict[str, int]:
    """Name -> rank of the heads to make smaller, from one share of the dimension for all, or from name -> rank.

    A share rounds to at least 1; to whole planes (2 dimensions) under rotary positions. Raises ValueError for unknown
    names with the nearest ones, ranks out of range, heads that cannot be factorized, and a model without known heads.
    """
    listed = find_heads(model)
    possible = {head.name: head for head in listed if head.reason is None}
    if isinstance(heads, Mapping):
        every = {head.name: head for head in listed}
        for name, rank in heads.items():
            if name not in every:
                near = get_close_matches(str(name), list(every), n=3, cutoff=0.4)
                way_out = f"Nearest: {', '.join(near)}." if near else "See `lr.heads(model)` for the names."
                raise ValueError(f"`heads` must name heads of the model, got {name!r}. {way_out}")
            _check_rank(every[name], rank)
        return {name: int(rank) for name, rank in heads.items()}
    if isinstance(heads, bool) or not isinstance(heads, Real) or not 0 < heads <= 1:
        raise ValueError(
            f"`heads` must be a share in (0, 1] of every head's dimension or a dict of name -> rank, got {heads!r}. "
            "Use `heads=0.5`; `lr.heads(model)` has the names."
        )
    if not possible:
        reasons = "; ".join(dict.fromkeys(f"{head.reason}" for head in listed[:3]))
        raise ValueError(
            f"`model` must have an attention head that can be factorized, got a {type(model).__name__} with none"
            f"{f' ({reasons})' if reasons else ''}. See `lr.heads(model)`, and `lr.register_attention`."
        )
    return {name: _rank(head, float(heads)) for name, head in possible.items()}


def _rank(head: Head, share: float) -> int:
    if head.rotary:
        return 2 * max(1, round(share * head.dimension / 2))
    return max(1, round(share * head.dimension))


def _check_rank(head: Head, rank) -> None:
    if head.reason:
        raise ValueError(
            f"`heads` must name heads that can be factorized, got {head.name!r}: {head.reason}. Leave it out."
        )
    try:
        check_size(rank, "rank")
    except (TypeError, ValueError) as error:
        raise ValueError(f"`heads` of {head.name!r}: {error}") from None
    if not 1 <= rank <= head.dimension:
        raise ValueError(
            f"`heads` of {head.name!r}: its rank must lie in 1..{head.dimension}, got {rank}. Choose a rank within."
        )
    if head.rotary and rank % 2:
        raise ValueError(
            f"`heads` of {head.name!r}: its rank must be even (rotary positions turn pairs of dimensions), got {rank}. "
            f"Use {rank + 1 if rank < head.dimension else rank - 1}."
        )
