"""One process or many: who this one is, what it was made with, and sums over all. torchrun starts them."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
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
    def mean_buffers(self, model: nn.Module) -> dict[str, Tensor]:
        """The means over all processes of the batch norms' running statistics (each has seen its own images).

        Copies: what a process trains with does not depend on when somebody asks. Empty for one process.
        """
        if self.count == 1:
            return {}
        return {name: self.sum(buffer / self.count) for name, buffer in own_buffers(model).items()}


def own_buffers(model: nn.Module) -> dict[str, Tensor]:
    """The running statistics that every process has of its own images, by name."""
    return {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}


def lost_process(error: Exception, count: int, workers: int) -> OSError | None:
    """What an error says where another process of the run has ended before its time; None for any other error."""
    text = str(error)
    if "DataLoader worker" in text:
        return ChildProcessError(
            f"`workers` must live as long as the run, got one of {workers} that was ended, for lack of memory as a rule"
            f" ({text.splitlines()[0]}). Use fewer --workers, and add --resume to go on."
        )
    words = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL", "Broken pipe")
    if count > 1 and (isinstance(error, dist.DistError) or any(word in text for word in words)):
        return ConnectionError(
            f"`processes` must all live until the end of the run, got one of {count} that ended before, with an error"
            " of its own or for lack of memory. See what it said, and add --resume to go on from the last checkpoint."
        )
    return None


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
    count, index, local = (_told(name) for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"))
    place = torch.device(kind, local) if kind == "cuda" else torch.device("cpu")
    if kind == "cuda":
        torch.cuda.set_device(place)
    if count == 1:
        yield Processes(0, 1, place)
        return
    if missing := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise ValueError(
            f"`{missing[0]}` must be set for {count} processes, got no such variable. Start them with torchrun, or"
            " unset WORLD_SIZE."
        )
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield Processes(index, count, place)
    finally:
        dist.destroy_process_group()


def _told(name: str) -> int:
    """The number in a variable of torchrun's: one process without it."""
    text = os.environ.get(name, "1" if name == "WORLD_SIZE" else "0")
    if not text.isdecimal() or (name == "WORLD_SIZE" and int(text) < 1):
        raise ValueError(f"`{name}` must be a whole number, got {text!r}. Start with torchrun, or unset it.")
    return int(text)


def environment(processes: Processes) -> dict[str, str | int]:
    """Versions, device, number of processes and threads, and the command, as plain values."""
    kind = processes.device.type
    device = torch.cuda.get_device_name(processes.device) if kind == "cuda" else platform.processor() or "CPU"
    return {
        "lrexplore": _version("lrexplore"), "torch": torch.__version__, "torchvision": _version("torchvision"),
        "cuda": torch.version.cuda or "", "python": platform.python_version(), "system": platform.platform(),
        "device_name": device, "num_processes": processes.count, "num_threads": torch.get_num_threads(),
        "num_cpus": os.cpu_count() or 0, "command": " ".join(sys.argv),
    }  # fmt: skip


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
