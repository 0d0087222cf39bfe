"""Time of two models on the same input, measured in turns."""

import time
from collections.abc import Callable
from statistics import median

import torch


def paired_latency_ms(runs: list[Callable[[], object]], device: torch.device, num_rounds: int = 7) -> list[float]:
    """Median time of each call, ms; the calls take turns, so that a busy moment of the machine hits all alike.

    One untimed round comes first. On a GPU every call is waited for.
    """
    times = [[] for _ in runs]
    with torch.no_grad():
        for number in range(num_rounds + 1):
            for run, found in zip(runs, times, strict=True):
                _wait(device)
                start = time.perf_counter()
                run()
                _wait(device)
                if number:
                    found.append(1e3 * (time.perf_counter() - start))
    return [median(found) for found in times]


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize(device)
