"""Which layers of a run are factorized and at which rank: by scale, by the rule of FNL, by a target, or by a plan."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from lrexplore.linalg import num_factor_parameters, rank_from_scale
from lrexplore.linalg.tensors import MATRIX
from lrexplore.models.language.separate_attention import attentions
from lrexplore.network import Layer, find_layers
from lrexplore.ranks import RankPlan
from lrexplore.recipes.config import Config
from lrexplore.recipes.which_layers import which_layers
from lrexplore.records.schema import read_description


def candidates(model: nn.Module, layers: str) -> list[Layer]:
    """The layers that may be factorized: "inner", "convolutions" or "all" (see `Config`).

    The projections of a network for text are none: an attention's heads are products already.
    """
    inside = {f"{name}.{layer}" for name in attentions(model) for layer in ("q", "k", "v", "o")}
    return [layer for layer in which_layers(find_layers(model), layers) if layer.name not in inside]


def rank_of(layer: Layer, scale: float, scheme: str, rule: str, multiple: int = 1) -> int:
    """The rank of a layer at a scale; a `multiple` only rounds that of the rule "smaller-side".

    "smaller-side": of min(m, n). "fnl": of the rows of the spatial matrix, out * k, whichever side is smaller:
    the rule of Khodak et al. 2021 (arXiv:2105.01029), to reproduce its tables; it may exceed min(m, n).
    """
    m, n = layer.matrix_shape(scheme)
    return max(1, round(scale * m)) if rule == "fnl" else rank_from_scale((m, n), scale, multiple)


def parameter_ratio(model: nn.Module, layers: list[Layer], scale: float, scheme: str, rule: str) -> float:
    """Parameters after factorizing these layers at this scale over those before, all of the model's counted."""
    total = sum(parameter.numel() for parameter in model.parameters())
    saved = 0
    for layer in layers:
        m, n = layer.matrix_shape(scheme)
        saved += layer.groups * (m * n - num_factor_parameters((m, n), rank_of(layer, scale, scheme, rule)))
    return (total - saved) / total


def find_scale(model: nn.Module, layers: list[Layer], target: float, scheme: str, rule: str) -> tuple[float, float]:
    """The rank scale whose parameter ratio comes closest to `target` on the way of a bisection, and that ratio.

    Integer ranks make the ratio a staircase; of equally close scales it is the one met first.
    """
    return bisected(lambda scale: parameter_ratio(model, layers, scale, scheme, rule), target)


def bisected(ratio_at: Callable[[float], float], target: float) -> tuple[float, float]:
    """The scale in (0, 1) whose ratio comes closest to a target on the way of a bisection, and that ratio."""
    low, high, best = 0.0, 1.0, (0.0, float("inf"))
    while high - low >= 1e-6:
        middle = (low + high) / 2
        ratio = ratio_at(middle)
        if abs(ratio - target) < abs(best[1] - target):
            best = middle, ratio
        if abs(ratio - target) < 1e-6:
            break
        low, high = (middle, high) if ratio < target else (low, middle)
    return best


def chosen_ranks(
    model: nn.Module, config: Config, plan: RankPlan | None = None
) -> tuple[dict[str, int], str | dict[str, str]]:
    """The rank of every layer to factorize, and the scheme (one, or one a layer); an empty dict for none.

    Layers that would not save parameters stay as they are, except by plan: `plan`, or that in the file chosen.
    Raises ValueError or FileNotFoundError for a plan that cannot be read or is none for this model.
    """
    if config.plan is not None:
        plan = plan or load_plan(Path(config.plan))
        plan.check(model)
        return plan.ranks, plan.schemes
    if not config.factorized:
        return {}, config.scheme
    layers = candidates(model, config.layers)
    scale = config.rank_scale
    if scale is None:
        scale, _ = find_scale(model, layers, config.rank_ratio, config.scheme, config.rank_rule)
    how = config.scheme, config.rank_rule, config.rank_multiple
    ranks = {layer.name: rank_of(layer, scale, *how) for layer in layers}
    saving = {layer.name: layer.break_even_rank(config.scheme) for layer in layers}
    return {name: rank for name, rank in ranks.items() if rank <= saving[name]}, config.scheme


def plan_of_run(config: Config, folder: Path) -> RankPlan | None:
    """The plan that a run is made by: of a run that goes on the one in its records; None where none was chosen.

    Raises ValueError where the file says another plan by now, or is none, and FileNotFoundError for a new run's.
    """
    if config.plan is None:
        return None
    path, described = Path(config.plan), folder / "run.json"
    plan = recorded_plan(read_description(folder)) if config.resume and described.exists() else None
    if plan is None:
        return load_plan(path)
    if path.exists() and (difference := _first_difference(plan, load_plan(path))):
        raise ValueError(
            f"`plan` must say what it said when the run {folder.name} was started, got {difference} in {path}."
            " Remove that file to go on by the plan in the run's records, or train under another name."
        )
    return plan


def load_plan(path: Path) -> RankPlan:
    """The plan in a file. Raises FileNotFoundError or ValueError where there is none."""
    try:
        return RankPlan.load(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"`plan` must be a file, got no such file: {path}. Check the path.") from error


def as_record(plan: RankPlan | None) -> dict[str, Any]:
    """What run.json says of the plan: all of it, with None for what is unknown; nothing without one."""
    return {} if plan is None else {"plan": json.loads(plan.to_json(), parse_constant=lambda name: None)}


def recorded_plan(described: dict[str, Any]) -> RankPlan | None:
    """The plan in the content of a run.json; None where there is none."""
    recorded = described.get("plan")
    if recorded is None:
        return None
    error = math.nan if recorded["error"] is None else recorded["error"]
    return RankPlan.from_json(json.dumps({**recorded, "error": error}))


def _first_difference(plan: RankPlan, other: RankPlan) -> str:
    """In words, the first layer that another plan treats differently; nothing where it makes the same network."""
    mine, theirs = (
        {name: (rank, each.schemes[name], each.forms[name]) for name, rank in each.ranks.items()}
        for each in (plan, other)
    )
    for name in dict.fromkeys([*mine, *theirs]):
        if mine.get(name) != theirs.get(name):
            was, now = (_in_words(one) for one in (mine.get(name), theirs.get(name)))
            return f"{now} for {name}, which had {was},"
    return ""


def _in_words(chosen: tuple[Any, str, str] | None) -> str:
    if chosen is None:
        return "no rank"
    rank, scheme, form = chosen
    return f"rank {rank} ({scheme if form == MATRIX else form})"
