"""How many threads the explorer's mathematics runs on: half of the cores, and they are given back."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_here = threading.local()
_before = 0


def num_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def spare_cores() -> Iterator[None]:
    """Runs its block, in this thread, on at most half of the cores; never on more threads than torch would take.

    The browser draws on the same machine. With as many busy threads as cores each of torch's parallel steps waits
    for the one that the browser holds up, and an eigendecomposition has thousands of steps: 45 s instead of 0.6 s for
    the 54 matrices of ResNet-50 were seen on two busy cores.
    """
    global _before
    if getattr(_here, "inside", False):
        yield
        return
    # Torch keeps one number for each thread and one for threads to come, which a thread that is new has taken over:
    # only what the main thread has is sure to be the person's own.
    if not _before or threading.current_thread() is threading.main_thread():
        _before = torch.get_num_threads()
    before = _before
    torch.set_num_threads(min(before, max(1, num_cores() // 2)))
    _here.inside = True
    try:
        yield
    finally:
        _here.inside = False
        torch.set_num_threads(before)
