"""One process or many: who this one is, and sums over all of them. torchrun starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """This process's number among `count`, and its device. With one process every method gives its argument back."""

    index: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes records and checkpoints."""
        return self.index == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in their order."""
        if self.count == 1:
            return [value]
        values = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def first(self, value: Any) -> Any:
        """The value that the first process has."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, device=self.device)
        return values[0]

    @torch.no_grad()
    def average_buffers(self, model: nn.Module) -> None:
        """Gives every process the mean of the batch norms' running statistics (each has seen its own images)."""
        if self.count == 1:
            return
        for buffer in model.buffers():
            if buffer.is_floating_point():
                self.sum(buffer.div_(self.count))


@contextmanager
def join(device: str = "auto") -> Iterator[Processes]:
    """The processes that torchrun started, or the one there is, on "cpu", "cuda" or what there is ("auto").

    Raises ValueError for "cuda" where there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "`device` must be one that this machine has, got 'cuda' without a CUDA device. Use 'auto' or 'cpu'."
        )
    kind = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    count, index = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    place = torch.device(kind, int(os.environ.get("LOCAL_RANK", "0"))) if kind == "cuda" else torch.device("cpu")
    if kind == "cuda":
        torch.cuda.set_device(place)
    if count == 1:
        yield Processes(0, 1, place)
        return
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield Processes(index, count, place)
    finally:
        dist.destroy_process_group()
