"""Plans of a whole network under many budgets, and the networks they make; it knows no widget and no plot."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from threading import RLock

import numpy as np
import torch
from torch import nn

from lrexplore.calibration import Calibration
from lrexplore.explorer.network.state import Wish
from lrexplore.explorer.real_inputs import IMPLIED, YOURS
from lrexplore.explorer.samples import Origin, Samples
from lrexplore.network.batches import read_items
from lrexplore.network.private import private_copy
from lrexplore.network.timing import paired_latency_ms
from lrexplore.ranks import PLAIN, LayerCurve, LayerPlan, RankPlan, factorize
from lrexplore.ranks.allocate import Allocator
from lrexplore.ranks.probes import Probes

QUICK_STATES, THOROUGH_STATES, MAX_PLANS, MAX_NETWORKS = 40, 2000, 400, 3
SHARES = np.arange(1, 41) / 40
FRONT_RATIOS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Front:
    """Plans of one method at rising cost: ratios reached, and predicted errors."""

    ratios: np.ndarray
    errors: np.ndarray


class Allocation:
    """Everything the Network tab computes of a model, kept as it comes; safe to read while a worker adds.

    What takes long (`prepare`, `network`, `latency_ratio`) is told to `progress`, which may raise to stop it.
    """

    def __init__(self, model: nn.Module, origin: Origin):
        self.model, self.origin = model, origin
        self._allocators: dict[tuple, Allocator] = {}
        self._weighed: dict[tuple, Allocator] = {}
        self._columns: dict[tuple, dict[str, np.ndarray]] = {}
        self._near: dict[tuple, dict[str, np.ndarray]] = {}
        self._plans: OrderedDict[tuple, RankPlan] = OrderedDict()
        self._networks: OrderedDict[RankPlan, nn.Module] = OrderedDict()
        self._latencies: dict[RankPlan, float] = {}
        self._timed: set[str] = set()
        self._said_probes: dict[tuple, str] = {}
        self._lock = RLock()

    @property
    def samples(self) -> Samples:
        """The inputs to calibrate and to judge by; raises as `Origin.samples`."""
        return self.origin.samples(self.model)

    @cached_property
    def runnable(self) -> nn.Module:
        """A private copy of the model to run, in evaluation mode."""
        return private_copy(self.model)

    def ready(self, wish: Wish) -> bool:
        """Whether a plan for this can be made at once."""
        if wish.curves not in (self._allocators if wish.weights == PLAIN else self._weighed):
            return False
        return wish.budget != "latency_ratio" or wish.scheme in self._timed

    def prepare(self, wish: Wish, progress: Progress) -> None:
        """Compute what plans need: calibration, curves, weights and times on this device of all layers."""
        inputs, initializer, scheme = wish.curves
        if wish.curves not in self._allocators:
            calibration = self._inputs_for(inputs, progress)
            columns, near = self._columns.setdefault(wish.curves, {}), self._near.setdefault(wish.curves, {})
            allocator = Allocator.of(
                self.model, initializer=initializer, scheme=scheme, calibration=calibration, weights="plain",
                heads=True,
                progress=lambda done, total, what: progress(done, total, f"curves of {what or 'all layers'}"),
                on_curve=lambda curve: self._keep_column(columns, near, curve),
            )  # fmt: skip
            with self._lock:
                earlier = next(iter(self._allocators.values()), allocator)
                self._allocators[wish.curves] = replace(allocator, latency=earlier.latency)
        if wish.weights != PLAIN and wish.curves not in self._weighed:
            weighed = self._allocators[wish.curves].weighed(
                self._probes(wish),
                progress=lambda done, total, what: progress(done, total, f"sensitivity of {what}"),
            )
            with self._lock:
                self._weighed[wish.curves] = weighed
        if wish.budget == "latency_ratio" and wish.scheme not in self._timed:
            self._time_layers(self._allocators[wish.curves], progress)
            self._timed.add(wish.scheme)

    def check(self, wish: Wish) -> None:
        """Raises ValueError where no plan meets the wish; says nothing while that is not known."""
        if self.ready(wish):
            self.plan(wish)

    def plan(self, wish: Wish, *, thorough: bool = False) -> RankPlan:
        """The plan of a wish that is `ready`: in milliseconds, or `thorough`, in a second; it states its gap.

        Raises ValueError where none meets the budget, with the smallest that can be reached.
        """
        with self._lock:
            plan = self._plans.get((wish, True)) or self._plans.get((wish, thorough))
        if plan is None:
            states = THOROUGH_STATES if thorough else QUICK_STATES
            plan = self._allocator(wish).plan(wish.budget, wish.ratio, method=wish.method, max_states=states)
            with self._lock:  # not held while solving: the other thread answers a slider
                self._plans[wish, thorough] = plan
                if len(self._plans) > MAX_PLANS:
                    self._plans.popitem(last=False)
        return plan

    def smallest(self, wish: Wish) -> float:
        """The smallest ratio of the budget's kind that can be reached with these pins, rounded up."""
        return float(np.ceil(1e4 * self._allocator(wish).smallest(wish.budget) - 1e-6) / 1e4)

    def errors(self, wish: Wish) -> dict[str, np.ndarray]:
        """Layer -> its errors at `SHARES` of its full rank, of the layers whose curves are there so far."""
        with self._lock:
            return dict(self._columns.get(wish.curves, {}))

    def near(self, wish: Wish) -> dict[str, np.ndarray]:
        """Layer -> whether its errors at `SHARES` are read off between two ranks that were computed."""
        with self._lock:
            return dict(self._near.get(wish.curves, {}))

    def is_near(self, wish: Wish, layer: LayerPlan) -> bool:
        """Whether the error of a layer in a plan is read off between two ranks that were computed."""
        curve = self._allocator(wish).curves.get((layer.name, layer.scheme))
        return layer.rank is not None and curve is not None and layer.rank not in curve.measured

    def front(self, wish: Wish, method: str, progress: Progress) -> Front:
        """The front of one method with the wish's pins."""
        points = []
        for done, ratio in enumerate(FRONT_RATIOS):
            progress(done, len(FRONT_RATIOS), f"front of {method}")
            try:
                plan = self.plan(replace(wish, method=method, ratio=ratio))
            except ValueError:  # below what can be reached
                continue
            points.append((ratio_of(plan, wish.budget), plan.error))
        table = np.array(points).reshape(-1, 2)
        return Front(table[:, 0], table[:, 1])

    def network(self, wish: Wish, progress: Progress) -> nn.Module:
        """The factorized network of a wish; its batch norms corrected where it was made for real inputs."""
        plan = self.plan(wish)
        if plan not in self._networks:
            made = factorize(
                self.model, plan=plan, calibration=self._inputs_for(wish.inputs, progress),
                loader=self.samples.fit if wish.inputs == YOURS else None,
                groups=self.samples.fit_groups if wish.inputs == YOURS else None,
                progress=lambda done, total, what: progress(done, total, f"factorizing {what}"),
            )  # fmt: skip
            self._networks[plan] = made
            if len(self._networks) > MAX_NETWORKS:
                self._networks.popitem(last=False)
        return self._networks[plan]

    def latency_ratio(self, plan: RankPlan) -> float | None:
        """Measured time of the network after / before, if `measure` was asked for this plan."""
        return self._latencies.get(plan)

    def measure(self, wish: Wish, progress: Progress) -> None:
        """Time both networks on a batch of the samples, in turns."""
        made, batch = private_copy(self.network(wish, progress)), self.samples.first_judged
        progress(0, 1, "measuring the latency")
        device = next(self.model.parameters()).device
        batch = batch.to(device)
        before, after = paired_latency_ms([lambda: self.runnable(batch), lambda: made(batch)], device)
        self._latencies[self.plan(wish)] = after / before

    def _keep_column(self, columns: dict[str, np.ndarray], near: dict[str, np.ndarray], curve: LayerCurve) -> None:
        with self._lock:
            if curve.layer not in columns:
                near[curve.layer] = ~np.isin(full_ranks(len(curve.errors)), curve.measured)
                columns[curve.layer] = at_shares(curve)

    def probed_on(self, wish: Wish) -> str:
        """What the sensitivities of a wish are measured on, in words."""
        return self._said_probes.get(wish.curves, "")

    def _probes(self, wish: Wish) -> Probes:
        """Inputs that nothing was fitted to, and noise where batch norms imply inputs; photographs if nothing else."""
        allocator = self._allocators[wish.curves]
        is_implied = wish.inputs == IMPLIED
        items = []
        if self.origin.loader is not None or not is_implied:
            items = list(read_items(self.samples.fit, self.model, self.samples.fit_groups))
        probes = Probes.of(self.model, allocator.layers, items, allocator.calibration, fits=wish.inputs == YOURS)
        self._said_probes[wish.curves] = probes.said
        return probes

    def _allocator(self, wish: Wish) -> Allocator:
        allocators = self._allocators if wish.weights == PLAIN else self._weighed
        return allocators[wish.curves].with_pins(dict(wish.pins))

    def _inputs_for(self, inputs: str, progress: Progress) -> Calibration | None:
        """What the layers are given; None for Gaussian inputs."""
        if inputs == YOURS:
            return self.origin.calibrated(self.model, progress)
        return self.origin.implied(self.model, progress) if inputs == IMPLIED else None

    def _time_layers(self, allocator: Allocator, progress: Progress) -> None:
        layers = [layer for layer in allocator.layers if layer.kind in ("linear", "conv")]
        schemes = {scheme for _, scheme in allocator.curves}
        with torch.no_grad():
            for done, layer in enumerate(layers):
                progress(done, len(layers), f"timing {layer.name}")
                for scheme in schemes if layer.skip_reason is None else ("channel",):
                    allocator.latency(layer, 0, scheme)


def at_shares(curve: LayerCurve) -> np.ndarray:
    """A curve's errors at `SHARES` of its full rank."""
    return curve.errors[full_ranks(len(curve.errors)) - 1]


def full_ranks(full: int) -> np.ndarray:
    """The ranks at `SHARES` of a full rank."""
    return np.maximum(np.round(SHARES * full), 1).astype(int)


def ratio_of(plan: RankPlan, budget: str) -> float:
    """What a plan costs, after / before, in the unit of a budget."""
    if budget == "latency_ratio":
        before, after = plan.latency_ms
        return after / before
    return plan.parameter_ratio if budget == "parameter_ratio" else plan.flop_ratio
