"""What the network says of the sample inputs, before and after; it knows no widget and no plot."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.calibration import run_model
from lrexplore.explorer.allocation import Allocation, Progress, ratio_of
from lrexplore.explorer.network_state import Wish
from lrexplore.ranks import RankPlan

MAX_VERDICTS, NUM_HALVINGS = 64, 7


@dataclass(frozen=True, eq=False)
class Verdict:
    """Most likely class of every input and its probability, before and after; how far both networks agree.

    `agreement` is the share of inputs with the same most likely class, `divergence` the mean KL divergence of the
    probabilities after from those before, nats. Without `plan`, after is before.
    """

    before: np.ndarray
    before_share: np.ndarray
    after: np.ndarray
    after_share: np.ndarray
    agreement: float
    divergence: float


class Judge:
    """Runs the original once and every other network once; verdicts are kept by plan."""

    def __init__(self, allocation: Allocation):
        self._allocation = allocation
        self._original: Tensor | None = None
        self._verdicts: OrderedDict[RankPlan | None, Verdict] = OrderedDict()

    def known(self, plan: RankPlan | None) -> Verdict | None:
        """The verdict on a plan, if it was made; of None, what the original says."""
        return self._verdicts.get(plan)

    def original(self, progress: Progress) -> Verdict:
        """What the unfactorized network says, beside itself."""
        if None not in self._verdicts:
            self._original = self._ask(self._allocation.model, progress, "asking the original")
            self._verdicts[None] = compare_logits(self._original, self._original)
        return self._verdicts[None]

    def verdict(self, wish: Wish, progress: Progress) -> Verdict:
        """What the network of a wish says; `progress` may raise to stop it."""
        self.original(progress)
        plan = self._allocation.plan(wish)
        if plan not in self._verdicts:
            made = self._allocation.network(wish, progress)
            self._verdicts[plan] = compare_logits(self._original, self._ask(made, progress, "asking the factorized"))
            if len(self._verdicts) > MAX_VERDICTS:
                self._verdicts.pop(next(key for key in self._verdicts if key is not None))
        return self._verdicts[plan]

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

    def _ask(self, model: nn.Module, progress: Progress, what: str) -> Tensor:
        return ask(model, self._allocation.samples.judged, lambda done, total: progress(done, total, what))


def ask(model: nn.Module, batches: list[Tensor], progress: Callable[[int, int], None]) -> Tensor:
    """Logits (inputs, classes) of a model on batches, float64 on the CPU; `progress(done, total)` before each batch."""
    answers = []
    with torch.no_grad():
        for done, batch in enumerate(batches):
            progress(done, len(batches))
            logits = run_model(model, batch)
            if not isinstance(logits, Tensor) or logits.ndim != 2:
                raise ValueError(
                    f"`model` must answer with logits (inputs, classes) to be judged, got "
                    f"{tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__}. "
                    "Wrap it in a module that does; plans need no answers."
                )
            answers.append(logits.double().cpu())
    return torch.cat(answers)


def compare_logits(own: Tensor, other: Tensor) -> Verdict:
    """The verdict on one network's logits beside the original's."""
    (before_share, before), (after_share, after) = (logits.softmax(1).max(1) for logits in (own, other))
    divergence = F.kl_div(other.log_softmax(1), own.log_softmax(1), log_target=True, reduction="batchmean")
    arrays = [part.numpy() for part in (before, before_share, after, after_share)]
    return Verdict(*arrays, float((before == after).double().mean()), float(divergence))
