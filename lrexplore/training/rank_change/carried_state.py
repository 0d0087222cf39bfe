"""What an optimizer knows of parameters that were replaced, in another optimizer that has the new ones."""

from collections.abc import Iterable

import torch
from torch import Tensor

from lrexplore.training.rank_change.moved_layers import Moved

_SQUARES = ("exp_avg_sq", "max_exp_avg_sq")


@torch.no_grad()
def carry_state(old: torch.optim.Optimizer, new: torch.optim.Optimizer, moved: Iterable[Moved]) -> None:
    """Gives `new` the state of `old`: as it is where a parameter is the same, carried over where it was moved."""
    source = {one.new: one for one in moved}
    for group in new.param_groups:
        for parameter in group["params"]:
            one = source.get(parameter)
            state = old.state.get(parameter if one is None else one.old)
            if state:
                new.state[parameter] = state if one is None else {
                    key: _carried(one, key, value) for key, value in state.items()
                }  # fmt: skip


def _carried(one: Moved, key: str, value: object) -> object:
    if not isinstance(value, Tensor):
        return value
    if value.shape != one.old.shape:  # a count of steps, which both factors of a switch get
        return value.clone()
    return one.carry(value, squares=key in _SQUARES)
