"""What the network says of the sample inputs, before and after; it knows no widget and no plot."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from itertools import islice
from threading import RLock

import numpy as np
import torch
from torch import Tensor, nn

from lrexplore.calibration import run_model
from lrexplore.explorer.network.compute import Allocation, Progress, ratio_of
from lrexplore.explorer.network.state import Wish
from lrexplore.explorer.samples import BATCH_SIZE, NUMS_JUDGED
from lrexplore.network.answers import agreements, divergences, logits_of
from lrexplore.network.batches import evaluation
from lrexplore.network.intervals import interval_of_share
from lrexplore.network.private import private_copy
from lrexplore.ranks import RankPlan

MAX_PLANS, NUM_HALVINGS = 64, 7
SURE, LEAST_CONTRAST = 0.2, 0.25


@dataclass(frozen=True, eq=False)
class Verdict:
    """Most likely class of every input and its probability, before and after; how far both networks agree.

    `agreement` is the share of inputs with the same most likely class, `divergence` the mean KL divergence of the
    probabilities after from those before, nats, both of the inputs that are `counted`. Without `plan`, after is before.
    `interval` is the 95 % interval of the agreement for other inputs like these, of which `groups` are independent.
    """

    before: np.ndarray
    before_share: np.ndarray
    after: np.ndarray
    after_share: np.ndarray
    agreement: float
    divergence: float
    counted: np.ndarray
    groups: tuple[Hashable, ...]
    interval: tuple[float, float] = field(init=False)

    def __post_init__(self):
        hits = (self.before == self.after).astype(float)[self.counted]
        object.__setattr__(self, "interval", interval_of_share(hits, self._counted_groups))

    @property
    def num_inputs(self) -> int:
        """How many inputs were asked about."""
        return len(self.before)

    @property
    def num_counted(self) -> int:
        """How many of them judge."""
        return int(self.counted.sum())

    @property
    def num_groups(self) -> int:
        """How many of those that judge are independent."""
        return len(set(self._counted_groups))

    @property
    def _counted_groups(self) -> list[Hashable]:
        return [group for group, counts in zip(self.groups, self.counted.tolist(), strict=True) if counts]


class Judge:
    """Asks every network about each input once; what they say is kept by plan.

    `num_wanted` is how many inputs to judge by, where there are so many; the first ones are always the same.
    """

    def __init__(self, allocation: Allocation):
        self._allocation = allocation
        self.num_wanted = NUMS_JUDGED[0]
        self._answers: OrderedDict[RankPlan | None, Tensor] = OrderedDict()
        self._contrasts: list[float] = []
        self._verdicts: dict[tuple[RankPlan | None, int], Verdict] = {}
        self._wishes: dict[RankPlan, Wish] = {}
        self._lock = RLock()

    @property
    def num(self) -> int:
        """How many inputs are judged by."""
        return min(self.num_wanted, self._allocation.samples.num_judged)

    def known(self, plan: RankPlan | None) -> Verdict | None:
        """The verdict on a plan, on as many of the wanted inputs as were asked; of None, what the original says."""
        with self._lock:
            own, other = self._answers.get(None), self._answers.get(plan)
            if own is None or other is None:
                return None
            num = min(self.num, len(own), len(other))
            if (plan, num) not in self._verdicts:
                groups = self._allocation.samples.judged_groups
                contrast = torch.tensor(self._contrasts[:num])
                counted = has_content(own[:num], contrast)
                self._verdicts[plan, num] = compare_logits(own[:num], other[:num], counted, groups and groups[:num])
            return self._verdicts[plan, num]

    def original(self, progress: Progress) -> Verdict:
        """What the unfactorized network says, beside itself."""
        self._ask(None, self._allocation.runnable, progress, "asking the original")
        return self.known(None)

    def verdict(self, wish: Wish, progress: Progress) -> Verdict:
        """What the network of a wish says of all wanted inputs; `progress` may raise to stop it."""
        self.original(progress)
        plan = self._allocation.plan(wish)
        if len(self._answers.get(plan, ())) < self.num:
            self._ask(plan, private_copy(self._allocation.network(wish, progress)), progress, "asking the factorized")
            self._forget()
        with self._lock:
            self._wishes[plan] = wish
        return self.known(plan)

    def judged(self, wish: Wish) -> list[tuple[RankPlan, Verdict]]:
        """The plans from the curves and weights of a wish, whatever their budget and method, that were judged."""
        with self._lock:
            plans = [
                plan for plan, other in self._wishes.items()
                if (other.curves, other.weights) == (wish.curves, wish.weights) and plan in self._answers
            ]  # fmt: skip
            return [(plan, self.known(plan)) for plan in plans]

    def smallest(self, wish: Wish, least: float, progress: Progress) -> float:
        """The smallest ratio found by bisection whose network agrees on a share of at least `least` of the samples.

        The budget's kind, method and pins are the wish's. Raises ValueError where not even the largest does.
        """
        low, high = self._allocation.smallest(wish), 1.0
        if self._agrees(replace(wish, ratio=low), least, progress, 0):
            return low
        if not self._agrees(replace(wish, ratio=high), least, progress, 1):
            raise ValueError(
                f"`agreement` must be one that these pins allow, got {least:.0%}, which no budget reaches. "
                "Unpin layers, or ask for less."
            )
        for halving in range(NUM_HALVINGS):
            middle = round((low + high) / 2, 4)
            if self._agrees(replace(wish, ratio=middle), least, progress, 2 + halving):
                # What the plan really costs may be far less than what it was allowed.
                high = min(middle, np.ceil(1e4 * ratio_of(self._plan(wish, middle), wish.budget)) / 1e4)
            else:
                low = middle
        return float(high)

    def _plan(self, wish: Wish, ratio: float) -> RankPlan:
        return self._allocation.plan(replace(wish, ratio=ratio))

    def _agrees(self, wish: Wish, least: float, progress: Progress, step: int) -> bool:
        def tell(done: int, total: int, what: str) -> None:
            progress(step, NUM_HALVINGS + 2, f"budget {wish.ratio:.3g}: {what}")

        return self.verdict(wish, tell).agreement >= least - 1e-9

    def _ask(self, plan: RankPlan | None, model: nn.Module, progress: Progress, what: str) -> None:
        """Ask a network about the wanted inputs that it was not asked about yet, and keep each batch's answers."""
        total = -(-self.num // BATCH_SIZE)
        start = -(-len(self._answers.get(plan, ())) // BATCH_SIZE)
        if start >= total:
            return
        for done, batch in enumerate(islice(self._allocation.samples.judged, start, total), start):
            progress(done, total, what)
            said = ask(model, batch)
            with self._lock:
                if plan is None:
                    self._contrasts += batch.flatten(1).double().std(1).tolist()
                self._answers[plan] = torch.cat([self._answers[plan], said]) if plan in self._answers else said
                self._answers.move_to_end(plan)

    def _forget(self) -> None:
        with self._lock:
            while len(self._answers) > MAX_PLANS:
                oldest = next(key for key in self._answers if key is not None)
                del self._answers[oldest]
                self._wishes.pop(oldest, None)
                self._verdicts = {key: verdict for key, verdict in self._verdicts.items() if key[0] != oldest}


def ask(model: nn.Module, batch: Tensor) -> Tensor:
    """Logits (inputs, classes) of a model on a batch, float64 on the CPU. Raises ValueError where it has none."""
    with evaluation(model):
        logits = logits_of(run_model(model, batch))
    return logits.cpu()


def compare_logits(
    own: Tensor, other: Tensor, counted: Tensor | None = None, groups: tuple[Hashable, ...] | None = None
) -> Verdict:
    """The verdict on one network's logits beside the original's; of all inputs, each its own group, unless said."""
    (before_share, before), (after_share, after) = (logits.softmax(1).max(1) for logits in (own, other))
    counted = torch.ones(len(own), dtype=torch.bool) if counted is None else counted
    agreement = float(agreements(own, other)[counted].double().mean())
    divergence = float(divergences(own, other)[counted].mean())
    groups = tuple(range(len(own))) if groups is None else tuple(groups)
    arrays = (before.numpy(), before_share.numpy(), after.numpy(), after_share.numpy())
    return Verdict(*arrays, agreement, divergence, counted.numpy(), groups)


def has_content(own: Tensor, contrast: Tensor) -> Tensor:
    """Which inputs judge, (inputs,): those in which there is something to see, as plain sky is not.

    Their contrast is a quarter of the median at least, and the original is sure of its class by a fifth; by half of its
    median certainty where it seldom is. All, where fewer than half would be left.
    """
    sure = own.softmax(1).max(1).values
    least = min(SURE, 0.5 * float(sure.median()))
    counted = (contrast >= LEAST_CONTRAST * contrast.median()) & (sure >= least)
    return counted if int(counted.sum()) * 2 >= len(counted) else torch.ones_like(counted)
