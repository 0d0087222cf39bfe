"""Ranks for all layers under one budget."""

import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from torch import nn

from lrexplore.calibration import Calibration, calibrate, implied_inputs
from lrexplore.init import find_initializer
from lrexplore.linalg import SCHEMES, matricize, singular_values
from lrexplore.linalg.rank import check_multiple
from lrexplore.linalg.tensors import MATRIX
from lrexplore.network import find_layers, weights_of
from lrexplore.network.answers import Choice, answer_of
from lrexplore.network.attention.find_heads import head_values
from lrexplore.network.attention.head_layers import HeadLayer, is_head, with_heads
from lrexplore.network.batches import Item, as_example, evaluation, first_items, run_model
from lrexplore.network.grouping import Groups, check_groups
from lrexplore.network.layers import Layer, Layers
from lrexplore.network.private import private_copy
from lrexplore.network.replace import nothing_to_factorize
from lrexplore.ranks.budget_choices import PLAIN, check_budget, check_forms, check_pins, check_weights, check_words
from lrexplore.ranks.factorize import default_initializer
from lrexplore.ranks.form_menus import FormMenu, form_menus
from lrexplore.ranks.knapsack import MAX_STATES, solve
from lrexplore.ranks.latency import LatencyCost
from lrexplore.ranks.network_curves import LayerCurve, inputs_of, layer_curves
from lrexplore.ranks.options import (
    CostOf,
    FormCostOf,
    Options,
    flop_cost,
    form_flop_cost,
    form_parameter_cost,
    layer_options,
    layer_plan,
    parameter_cost,
)
from lrexplore.ranks.plan import RankPlan
from lrexplore.ranks.probes import Probes
from lrexplore.ranks.rules import RULES, picks_by_rule
from lrexplore.ranks.sensitivity import sensitivities

NUM_LOOKED_AT = 64
Progress = Callable[[int, int, str], None]
NOT_TIMED = (
    "`heads` must be False for a `latency_ratio`, got True: the time of one head cannot be told from its attention's. "
    "Set a `flop_ratio`."
)


def allocate(
    model: nn.Module,
    *,
    parameter_ratio: float | None = None,
    flop_ratio: float | None = None,
    latency_ratio: float | None = None,
    initializer: str | None = None,
    scheme: str = "channel",
    forms: Sequence[str] = (MATRIX,),
    loader: Iterable | None = None,
    groups: Groups = None,
    calibration: Calibration | None = None,
    pinned: dict[str, int | None] | None = None,
    weights: str | dict[str, float] | None = None,
    method: str = "optimal",
    rank_multiple: int = 1,
    heads: bool = False,
    example_input: Any = None,
    logits: Choice = None,
    use_cache: bool = True,
    progress: Progress | None = None,
) -> RankPlan:
    """The `RankPlan` of least predicted error whose whole network costs at most a share of the original's.

    Give one of `parameter_ratio`, `flop_ratio`, `latency_ratio` (measured layer by layer on this device).
    With `loader` (any iterable of inputs or (input, label) pairs) or a `calibration`, errors are those on real inputs
    and `initializer` is "whitened"; without them it is "implied" for a trained network with batch norms, errors being
    those on the inputs that these imply (`lr.implied_inputs`), else "function" and inputs are Gaussian. `groups` says
    which inputs of `loader` belong together, as for `lr.calibrate`.
    `scheme` "best" chooses one of both for every kernel. `forms`: what layers may become, factor pairs ("matrix") and
    products of more tensors ("tucker", "tt", "cp"; kernels larger than 1 x 1), whose ranks are on the menus of
    `lrexplore.ranks.form_menus`; layers without one of them stay as they are. `pinned`: layer name -> rank, or None
    for "as it is".
    `weights`: what layers count in the total: "plain", "sensitivity" (movement of the output; the default where there
    is something to measure it on) or layer name -> weight. The sensitivity is measured on inputs of `loader` that are
    held out from fitting, and, where batch norms imply inputs, on noise with the spectrum of photographs.
    `method` "optimal" solves the allocation exactly, up to a gap that the plan states; the others, for
    comparison, are rules with one knob turned to the budget: `METHODS`.
    `heads`: attention heads (`lr.heads`) are allocated like layers, each product under its name, also in `pinned` and
    `weights`. A projection of heads is then left to them, never factorized as a whole beside them. A head's error is
    that of `lr.head_error`; its cost is its part of the projections, without what the attention itself multiplies.
    Sensitivities of heads are measured for one product of an attention at once. Not with `latency_ratio`.
    `rank_multiple`: only ranks that are multiples of it (8: what tensor cores take at once); pins are not rounded.
    No layer is factorized where that costs more in the budget's unit. Sizes, on which flops and latency depend, are
    those on `example_input` (a batch, or the forward's arguments), else on the first batch of `loader`, else guessed.
    `logits` says where they are in the model's answer, as for `lr.compare`.

    Raises ValueError for a budget that no plan meets (with the smallest reachable), unknown names, impossible pins.

    >>> model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    >>> plan = lr.allocate(model, parameter_ratio=0.7, pinned={"2": 4})
    >>> plan.ranks["2"], plan.parameter_ratio <= 0.7
    (4, True)
    """
    ratios = {"parameter_ratio": parameter_ratio, "flop_ratio": flop_ratio, "latency_ratio": latency_ratio}
    given = {name: ratio for name, ratio in ratios.items() if ratio is not None}
    if len(given) != 1:
        raise ValueError(
            f"One of {', '.join(f'`{name}`' for name in ratios)} must be given, got {', '.join(given) or 'none'}. "
            "Use `parameter_ratio=0.5` for half the parameters."
        )
    [(budget, ratio)] = given.items()
    check_budget(budget, ratio, method)
    check_forms(forms, method)
    if heads and budget == "latency_ratio":
        raise ValueError(NOT_TIMED)
    chosen = Allocator.of(
        model, initializer=initializer, scheme=scheme, forms=forms, loader=loader, groups=groups,
        calibration=calibration, weights=weights, pinned=pinned, rank_multiple=rank_multiple, heads=heads,
        example_input=example_input, logits=logits, use_cache=use_cache, progress=progress,
    )  # fmt: skip
    return chosen.plan(budget, ratio, method=method)


def _weighing(model: nn.Module, item: Item, weights: str | None, logits: Choice) -> str | None:
    """The weights asked for, or plain ones, with a warning, where none are and the model answers with no tensor.

    Raises ValueError, before any work, where that answer must be had.
    """
    probe = private_copy(model)
    with evaluation(probe):
        try:
            answer_of(run_model(probe, item.inputs), logits)
        except ValueError as error:
            if weights is not None or logits is not None or not str(error).startswith("`model` must answer"):
                raise
            warnings.warn(
                "Layers are weighed alike: the model answers with no tensor, as detectors do, so that nothing says how "
                "far an answer moves. Say with `logits=` which tensor to watch, or with `weights=` what layers count.",
                stacklevel=4,
            )
            return PLAIN
    return weights


class _Memory:
    """What was computed so far, by key; copies of an allocator share it, and threads may ask at once."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._made:
                return self._made[key]
        made = make()  # not held while it is made: the other thread answers a slider
        with self._lock:
            return self._made.setdefault(key, made)


@dataclass(frozen=True, eq=False)
class Allocator:
    """Everything an allocation needs of a model, computed once: a new budget or pin costs milliseconds.

    Two threads may ask one, or copies of one, at once.
    """

    model: nn.Module
    layers: Layers
    curves: dict[tuple[str, str], LayerCurve]
    initializer: str
    scheme: str
    weights: dict[str, float]
    weighting: str
    pinned: dict[str, int | None]
    calibration: Calibration | None
    latency: LatencyCost
    rank_multiple: int = 1
    forms: tuple[str, ...] = (MATRIX,)
    menus: dict[tuple[str, str], FormMenu] = field(default_factory=dict, repr=False)
    made_options: _Memory = field(default_factory=_Memory, repr=False)  # whatever the pins
    spectra: _Memory = field(default_factory=_Memory, repr=False)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        *,
        initializer: str | None = None,
        scheme: str = "channel",
        forms: Sequence[str] = (MATRIX,),
        loader: Iterable | None = None,
        groups: Groups = None,
        calibration: Calibration | None = None,
        weights: str | Mapping[str, float] | None = None,
        pinned: dict[str, int | None] | None = None,
        rank_multiple: int = 1,
        heads: bool = False,
        example_input: Any = None,
        logits: Choice = None,
        use_cache: bool = True,
        progress: Progress | None = None,
        on_curve: Callable[[LayerCurve], None] | None = None,
    ) -> "Allocator":
        """The network with its curves, on the inputs of `loader` or `calibration` if given; see `allocate`.

        `on_curve` is that of `layer_curves`.
        """
        check_words(scheme, weights, has_loader=loader is not None, heads=heads)
        check_multiple(rank_multiple)
        forms = check_forms(forms)
        if initializer is not None:
            find_initializer(initializer)
        check_groups(groups, has_loader=loader is not None)
        items, loader = first_items(loader, NUM_LOOKED_AT, model, groups) if loader is not None else ([], None)
        layers = find_layers(model, as_example(items[0].inputs) if items and example_input is None else example_input)
        usable = [layer.name for layer in layers if layer.skip_reason is None]
        layers = with_heads(model, layers) if heads else layers
        if meta := [name for name in usable if model.get_submodule(name).weight.is_meta]:
            raise ValueError(
                f"`model` must hold values, got `{meta[0]}` with a weight on the meta device. Load the weights first."
            )
        check_pins(layers, scheme, {} if pinned is None else pinned)
        if all(layer.skip_reason for layer in layers):
            raise nothing_to_factorize(model, layers)
        if isinstance(weights, Mapping):
            check_weights(layers, weights)
        elif weights != PLAIN and items:
            weights = _weighing(model, items[0], weights, logits)
        if calibration is not None:
            Calibration.require(calibration, model)
            if items:
                calibration.warn_of_others(items[0])
            if heads and not calibration.is_implied and not calibration.heads and any(map(is_head, layers)):
                raise ValueError(
                    "`calibration` must hold attention heads for `heads=True`, got one without any. Use "
                    "`lr.calibrate(model, loader, heads=True)`."
                )
        initializer = initializer or default_initializer(
            model, has_inputs=calibration is not None or loader is not None
        )
        record = find_initializer(initializer)
        if record.is_implied and (calibration is None or not calibration.is_implied):
            calibration = implied_inputs(model, example_input=example_input, progress=progress)
        elif calibration is None and loader is not None:
            calibration = calibrate(model, loader, heads=heads, progress=progress)
        if record.is_real and calibration is None:
            raise ValueError(
                f"`calibration` must be given for the initializer {record.name!r}, got None. Pass it or a `loader`, "
                "or use `function`, which needs no inputs."
            )
        schemes = SCHEMES if scheme == "best" else (scheme,)
        curves = layer_curves(
            model, layers, initializer=initializer, schemes=schemes, calibration=calibration, use_cache=use_cache,
            progress=progress, on_curve=on_curve,
        )  # fmt: skip
        menus = form_menus(
            model, layers, forms=forms, initializer=initializer, calibration=calibration, use_cache=use_cache,
            progress=progress,
        )  # fmt: skip
        latency = LatencyCost(model)
        allocator = cls(
            model, layers, curves, initializer, scheme, {}, PLAIN, {}, calibration, latency, rank_multiple, forms, menus
        )
        if isinstance(weights, Mapping):
            allocator = allocator.with_weights(weights, "given")
        elif weights != PLAIN:
            implied = calibration if example_input is None else None
            probes = Probes.of(model, layers, items, implied, fits=record.is_real and not record.is_implied)
            allocator = allocator.weighed(probes, logits=logits, use_cache=use_cache, progress=progress)
        return allocator.with_pins({} if pinned is None else pinned)

    def weighed(
        self, probes: Probes, *, logits: Choice = None, use_cache: bool = True, progress: Progress | None = None
    ) -> "Allocator":
        """The same network with its layers weighed by `sensitivities` on the probes, or plainly if these are all 0."""
        measure = partial(
            sensitivities, self.model, self.layers, self.curves, initializer=self.initializer,
            calibration=self.calibration, use_cache=use_cache, logits=logits, progress=progress,
        )  # fmt: skip
        weights = probes.weights(measure)
        if not any(weights.values()):  # as with a head that is zero at the start: no layer would count for anything
            return self.with_weights({}, PLAIN)
        return self.with_weights(weights, probes.weighting)

    def with_weights(self, weights: Mapping[str, float], weighting: str) -> "Allocator":
        """The same network with other layer weights; `weighting` says in the plans whose they are."""
        return replace(self, weights=dict(weights), weighting=weighting, made_options=_Memory())

    def with_pins(self, pinned: dict[str, int | None]) -> "Allocator":
        """The same network with these layers pinned. Raises ValueError for names or ranks that cannot be."""
        check_pins(self.layers, self.scheme, pinned)
        return replace(self, pinned=dict(pinned))

    def options(self, budget: str) -> list[Options]:
        """The choices of every layer that can be factorized, with costs in the unit of `budget`.

        Heads have none under a budget of time, which is that of their attention as a whole: they stay as they are.
        """
        costs: dict[str, CostOf] = {
            "parameter_ratio": parameter_cost,
            "flop_ratio": flop_cost,
            "latency_ratio": self.latency,
        }
        form_costs: dict[str, FormCostOf] = {
            "parameter_ratio": form_parameter_cost,
            "flop_ratio": form_flop_cost,
            "latency_ratio": self.latency.in_form,
        }
        options = []
        for layer in self.layers:
            if layer.skip_reason is None and not (is_head(layer) and budget == "latency_ratio"):
                pin = (self.pinned[layer.name],) if layer.name in self.pinned else None
                make = partial(self._options, layer, costs[budget], form_costs[budget], pin)
                options.append(self.made_options.get((budget, layer.name, pin), make))
        return options

    def _options(self, layer: Layer, cost: CostOf, form_cost: FormCostOf, pin: tuple[int | None] | None) -> Options:
        curves = [curve for (name, _), curve in self.curves.items() if name == layer.name]
        if MATRIX not in self.forms and pin is None:
            curves = []
        menus = [menu for (name, _), menu in self.menus.items() if name == layer.name]
        if pin is not None and pin[0] is not None:
            curves = [curve for curve in curves if pin[0] <= len(curve.errors)]
        weight = self.weights.get(layer.name, 1.0)
        return layer_options(
            layer, curves, cost, pin=pin, weight=weight, multiple=self.rank_multiple, menus=menus,
            form_cost_of=form_cost,
        )  # fmt: skip

    def total(self, budget: str) -> float:
        """Cost of the whole unfactorized network in the unit of `budget`."""
        if budget == "parameter_ratio":
            return float(sum(p.numel() for p in self.model.parameters()))
        if budget == "flop_ratio":
            flops = sum(flop_cost(layer, 0, "channel") for layer in self.layers if layer.kind in ("linear", "conv"))
            return flops + (self.layers.other_flops or 0)
        return self.network_ms

    def smallest(self, budget: str) -> float:
        """The least ratio that a plan can have: the smallest rank wherever nothing is pinned."""
        saved = sum(option.original_cost - float(option.costs.min()) for option in self.options(budget))
        return 1 - saved / self.total(budget)

    @property
    def network_ms(self) -> float:
        """Time of the unfactorized network's layers, each measured by itself, ms."""
        return sum(self.latency(layer, 0, "channel") for layer in self.layers if layer.kind in ("linear", "conv"))

    def plan(self, budget: str, ratio: float, *, method: str = "optimal", max_states: int = MAX_STATES) -> RankPlan:
        """The plan of one budget by one method; `max_states` bounds the search of "optimal", and its time."""
        check_budget(budget, ratio, method)
        check_forms(self.forms, method)
        options, total = self.options(budget), self.total(budget)
        fixed = total - sum(option.original_cost for option in options)
        allowed, smallest = ratio * total - fixed, self.smallest(budget)
        if ratio < smallest - 1e-9:
            raise ValueError(
                f"`{budget}` must be at least {np.ceil(1e4 * smallest) / 1e4:g} for this model"
                f"{' with these pins' if self.pinned else ''}, got {ratio:g}: what cannot be factorized and rank "
                f"{self.rank_multiple} everywhere else cost that much{self._in_forms()}. Choose a larger ratio."
            )
        if method == "optimal":
            solution = solve([option.choices for option in options], allowed, max_states=max_states)
            picks: Sequence[int] = solution.picks
            gap: float | None = solution.gap
        else:
            scheme = "channel" if self.scheme == "best" else self.scheme
            picks, _ = picks_by_rule(options, self._spectra(scheme), RULES[method], allowed, scheme)
            gap = None
        return self._plan(options, picks, f"{budget} {ratio:g}", method, gap)

    def _in_forms(self) -> str:
        return "" if self.forms == (MATRIX,) else f" in the forms {', '.join(self.forms)}"

    def _spectra(self, scheme: str) -> dict[str, np.ndarray]:
        def spectrum(layer: Layer) -> np.ndarray:
            if isinstance(layer, HeadLayer):
                return head_values(self.model, layer.head).numpy()
            return singular_values(matricize(weights_of(self.model, layer)[0], scheme)).cpu().numpy()

        layers = [layer for layer in self.layers if layer.skip_reason is None]
        return {layer.name: self.spectra.get((layer.name, scheme), partial(spectrum, layer)) for layer in layers}

    def _plan(
        self, options: list[Options], picks: Sequence[int], budget: str, method: str, gap: float | None
    ) -> RankPlan:
        picked = {option.layer.name: (option, pick) for option, pick in zip(options, picks, strict=True)}
        layers = tuple(layer_plan(layer, *picked.get(layer.name, (None, 0))) for layer in self.layers)
        before = sum(p.numel() for p in self.model.parameters())
        saved = sum(layer.parameters_before - layer.parameters_after for layer in layers)
        flops = None
        if self.layers.flops is not None:
            pairs = ((layer.flops_before, layer.flops_after) for layer in layers)
            added = sum(after - before for before, after in pairs if before is not None and after is not None)
            flops = self.layers.flops, self.layers.flops + added
        latency = None
        if budget.startswith("latency"):
            change = sum(
                float(option.costs[pick]) - option.original_cost for option, pick in zip(options, picks, strict=True)
            )
            latency = self.network_ms, self.network_ms + change
        return RankPlan(
            layers=layers, initializer=find_initializer(self.initializer).name,
            inputs=inputs_of(self.calibration), method=method, budget=budget,
            error=sum(layer.weight * layer.error for layer in layers), gap=gap,
            weights=self.weighting, parameters=(before, before - saved), flops=flops, latency_ms=latency,
        )  # fmt: skip
