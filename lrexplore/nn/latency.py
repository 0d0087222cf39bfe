"""Times of some calls, measured in turns."""

import time
from collections.abc import Callable
from statistics import median

import torch


def paired_latency_ms(
    runs: list[Callable[[], object]],
    device: torch.device,
    num_rounds: int = 7,
    *,
    warm_up: int = 1,
    num_calls: int = 1,
    gradients: bool = False,
) -> list[float]:
    """Median time of each call, ms; the calls take turns, so that a busy moment of the machine hits all alike.

    `warm_up` untimed rounds come first. On a GPU every call is waited for; of `num_calls` in a row only the last, so
    that the time to start one hides behind the one before, as it does in a network. `gradients`: autograd records.
    """
    times = [[] for _ in runs]
    with torch.set_grad_enabled(gradients):
        for number in range(warm_up + num_rounds):
            for run, found in zip(runs, times, strict=True):
                _wait(device)
                start = time.perf_counter()
                for _ in range(num_calls):
                    run()
                _wait(device)
                if number >= warm_up:
                    found.append(1e3 * (time.perf_counter() - start) / num_calls)
    return [median(found) for found in times]


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize(device)
