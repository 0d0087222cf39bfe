"""What each layer could become, with the cost of each choice in the budget's unit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import lcm

import numpy as np

from lrexplore.linalg.tensors import MATRIX
from lrexplore.network import Layer, factorized_flops, factorized_parameters
from lrexplore.network.attention.head_layers import scheme_of
from lrexplore.network.layers import tensor_flops, tensor_parameters
from lrexplore.ranks.form_menus import FormMenu
from lrexplore.ranks.knapsack import Choices
from lrexplore.ranks.network_curves import LayerCurve
from lrexplore.ranks.plan import LayerPlan


@dataclass(frozen=True, eq=False)
class Options:
    """The choices of one layer. Number 0 is to leave it as it is, unless it is pinned to a rank.

    `ranks` has 0 for that, else the rank; `schemes`, `errors` (unweighted) and `costs` go with it. Choices in another
    form than factor pairs come last: their rank is -1, and `tensors` has the form and its ranks.
    """

    layer: Layer
    ranks: np.ndarray
    schemes: tuple[str, ...]
    errors: np.ndarray
    costs: np.ndarray
    original_cost: float
    pinned: bool
    weight: float = 1.0
    tensors: tuple[tuple[str, tuple[int, ...]] | None, ...] = ()

    @cached_property
    def choices(self) -> Choices:
        """The same for `solve`, errors weighted."""
        return Choices(self.costs, self.weight * self.errors)


CostOf = Callable[[Layer, int, str], float]
"""Cost of a layer at a rank (0: as it is) under a scheme."""
FormCostOf = Callable[[Layer, str, Sequence[tuple[int, ...]]], Sequence[float] | np.ndarray]
"""Costs of a layer in a form, one for each of these ranks."""


def parameter_cost(layer: Layer, rank: int, scheme: str) -> float:
    """Numbers stored."""
    return float(factorized_parameters(layer, rank, scheme) if rank else layer.num_parameters)


def form_parameter_cost(layer: Layer, form: str, ranks: Sequence[tuple[int, ...]]) -> list[float]:
    """Numbers stored."""
    return [float(tensor_parameters(layer, form, one)) for one in ranks]


def form_flop_cost(layer: Layer, form: str, ranks: Sequence[tuple[int, ...]]) -> list[float]:
    """Multiply-adds of one input. Raises ValueError where the layer's sizes are unknown."""
    flop_cost(layer, 0, "channel")
    return [float(tensor_flops(layer, form, one) or 0) for one in ranks]


def flop_cost(layer: Layer, rank: int, scheme: str) -> float:
    """Multiply-adds of one input. Raises ValueError where the layer's sizes are unknown."""
    if layer.flops is None:
        raise ValueError(
            f"`flop_ratio` must know the size of every layer, got none for `{layer.name}`: {layer.measured} "
            "Or set a `parameter_ratio`."
        )
    return float(factorized_flops(layer, rank, scheme) or 0) if rank else float(layer.flops)


def layer_options(
    layer: Layer,
    curves: list[LayerCurve],
    cost_of: CostOf,
    *,
    pin: tuple[int | None] | None = None,
    weight: float = 1.0,
    multiple: int = 1,
    menus: Sequence[FormMenu] = (),
    form_cost_of: FormCostOf = form_parameter_cost,
) -> Options:
    """The choices of a layer: as it is, and every rank under every curve's scheme that costs less than that.

    Ranks are multiples of `multiple`. `menus` are those of other forms.
    `pin` (rank,) allows only that rank, (None,) only the layer as it is.
    """
    original = cost_of(layer, 0, "channel")
    rows = [(0, "channel", 0.0, original)]
    only = None if pin is None else pin[0]
    if only is not None:
        rows = []
    if pin != (None,):
        for curve in curves:
            step = lcm(multiple, layer.rank_step)
            wanted = range(step, len(curve.errors) + 1, step) if only is None else (only,)
            # Costs rise with the rank, in a straight line for all but measured ones: past the first that does not
            # pay, none does.
            for rank in wanted:
                cost = cost_of(layer, rank, curve.scheme)
                if pin is None and cost >= original:
                    break
                rows.append((rank, curve.scheme, curve.error(rank), cost))
    if pin is not None and len(rows) > 1:
        rows = [min(rows, key=lambda row: row[2])]
    tensors: list[tuple[str, tuple[int, ...]] | None] = [None] * len(rows)
    for menu in menus if pin is None else ():
        for found, error, cost in zip(menu.ranks, menu.errors, form_cost_of(layer, menu.form, menu.ranks), strict=True):
            if cost < original and all(rank % multiple == 0 for rank in found):
                rows.append((-1, "channel", float(error), cost))
                tensors.append((menu.form, found))
    ranks, schemes, errors, costs = zip(*rows, strict=True)
    return Options(
        layer, np.array(ranks), tuple(schemes), np.array(errors), np.array(costs), original, pin is not None, weight,
        tuple(tensors),
    )  # fmt: skip


def layer_plan(layer: Layer, option: Options | None, pick: int) -> LayerPlan:
    """What becomes of a layer by one of its choices; None where it cannot be factorized."""
    rank, scheme, error, tensor = 0, scheme_of(layer), 0.0, None
    after, flops = layer.num_parameters, layer.flops
    if option is not None and option.ranks[pick]:
        rank, scheme, error = int(option.ranks[pick]), option.schemes[pick], float(option.errors[pick])
        tensor = option.tensors[pick] if option.tensors else None
        if tensor is None:
            after, flops = factorized_parameters(layer, rank, scheme), factorized_flops(layer, rank, scheme)
        else:
            after, flops = tensor_parameters(layer, *tensor), tensor_flops(layer, *tensor)
    reason = layer.skip_reason or ("" if rank else "costs least error as it is")
    if option is not None and option.pinned:
        reason = "pinned"
    if option is None and not layer.skip_reason:
        reason = "left as it is: the time of one head cannot be told from its attention's"
    return LayerPlan(
        name=layer.name, weight_shape=layer.weight_shape, scheme=scheme,
        rank=(rank or None) if tensor is None else tensor[1], form=MATRIX if tensor is None else tensor[0],
        error=error, weight=option.weight if option is not None else 1.0,
        parameters_before=layer.num_parameters,
        parameters_after=after,
        flops_before=layer.flops,
        flops_after=flops,
        pinned=option is not None and option.pinned, reason=reason,
    )  # fmt: skip
