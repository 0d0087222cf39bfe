"""Inputs and origins for tests of the Network tab."""

import torch
from torch import Tensor

from lrexplore.explorer.allocation import Allocation
from lrexplore.explorer.samples import Origin


def batches(num_inputs: int = 24, size: int = 12) -> list[Tensor]:
    """Batches of small color images whose pixels hang together."""
    coarse = torch.randn(num_inputs, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    return list(torch.nn.functional.interpolate(coarse, size=size, mode="bilinear").split(8))


def silent(done: int, total: int, what: str) -> None:
    """Progress that nobody looks at."""


def prepared(model, wish) -> Allocation:
    """An allocation of a model, ready for a wish."""
    allocation = Allocation(model, Origin(loader=batches()))
    allocation.prepare(wish, silent)
    return allocation
