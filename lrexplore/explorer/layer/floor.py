"""A floor under the error curves of one layer: what no factorization of a rank can do better than."""

from collections.abc import Callable, Iterator
from threading import RLock

import numpy as np
import torch

from lrexplore.init import Problem, rank_grid
from lrexplore.proof import floor_curve

FLOOR_RANKS = 16
FIRST_S, REST_S = 3.0, 6.0


class Floor:
    """Proven lower bounds of the function error, filled coarse to fine; safe to read while a worker adds."""

    def __init__(self, problem: Problem):
        self._problem = problem
        self._bounds: dict[int, float] = {problem.max_rank: 0.0}
        self._lock = RLock()

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Ranks, ascending, and the bounds known at them. Between two ranks the bound of the larger one holds."""
        with self._lock:
            bounds = sorted(self._bounds.items())
        return np.array([rank for rank, _ in bounds]), np.array([bound for _, bound in bounds])

    @property
    def num_known(self) -> int:
        """At how many ranks a bound is known."""
        with self._lock:
            return len(self._bounds)

    def at_every_rank(self) -> np.ndarray:
        """A valid bound at ranks 1..max_rank: what no larger rank can do, no smaller one can."""
        ranks, bounds = self.points()
        return bounds[np.searchsorted(ranks, np.arange(1, self._problem.max_rank + 1))]

    def is_exact(self) -> np.ndarray:
        """Whether a bound of its own is known at ranks 1..max_rank."""
        return np.isin(np.arange(1, self._problem.max_rank + 1), self.points()[0])

    def missing(self, first: int) -> list[int]:
        """Ranks that `fill` would add, `first` before all."""
        wanted = dict.fromkeys([first, *rank_grid(self._problem.max_rank, FLOOR_RANKS)])
        with self._lock:
            return [rank for rank in wanted if rank not in self._bounds]

    def fill(self, first: int, stopped: Callable[[], bool]) -> Iterator[float]:
        """Adds bounds that are missing, that of rank `first` before all; yields the share that is done.

        Ends after some 10 s: a bound that was not tightened to its end still holds, and a next call adds more.
        """
        missing = self.missing(first)
        own = missing[:1] == [first]
        done = 0
        for part, time_limit_s in ((missing[:own], FIRST_S), (missing[own:], REST_S)):
            if not part or stopped():
                continue
            with torch.inference_mode():
                for rank, bound in floor_curve(self._problem, part, time_limit_s=time_limit_s, cancelled=stopped):
                    with self._lock:
                        self._bounds[rank] = max(bound, 0.0)
                    done += 1
                    yield done / len(missing)
