"""Times of some calls, measured in turns."""

import time
from collections.abc import Callable, Iterator
from itertools import islice
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
    """Median time of each call over `num_rounds` of `latency_rounds`, ms; the first `warm_up` do not count."""
    rounds = latency_rounds(runs, device, num_calls=num_calls, gradients=gradients)
    return [median(times) for times in zip(*islice(rounds, warm_up, warm_up + num_rounds), strict=True)]


def latency_rounds(
    runs: list[Callable[[], object]], device: torch.device, *, num_calls: int = 1, gradients: bool = False
) -> Iterator[list[float]]:
    """Times of one call of each, ms, round by round without an end; the first round also warms up.

    The calls take turns, so that a busy moment of the machine hits all alike. On a GPU every call is waited for; of
    `num_calls` in a row only the last, so that the time to start one hides behind the one before, as it does in a
    network. `gradients`: autograd records.
    """
    while True:
        times = []
        with torch.set_grad_enabled(gradients):
            for run in runs:
                _wait(device)
                start = time.perf_counter()
                for _ in range(num_calls):
                    run()
                _wait(device)
                times.append(1e3 * (time.perf_counter() - start) / num_calls)
        yield times


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize(device)
