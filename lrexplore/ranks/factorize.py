"""`factorize` with a plan, with a tolerance, with real inputs, and with the batch norms set right afterwards."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import NoneType
from typing import Any

import torch
from torch import nn

from lrexplore.calibration import Calibration, calibrate, implied_inputs, implies_inputs
from lrexplore.init import find_initializer
from lrexplore.linalg.tensors import MATRIX, check_form
from lrexplore.network import Replacement, find_layers, replace_layers
from lrexplore.network.attention import choose_head_ranks, find_heads, smaller_heads
from lrexplore.network.batch_norm import correct_batch_norms
from lrexplore.network.batches import Item, as_example, first_items
from lrexplore.network.forms import replace_by_tensors, replace_each
from lrexplore.network.grouping import Groups, check_groups
from lrexplore.network.layer_choices import check_choices, choose_rank, scheme_for
from lrexplore.network.passes import Passes
from lrexplore.network.replace import nothing_to_factorize
from lrexplore.nn.attention.narrow import NarrowHeads
from lrexplore.ranks.corrected_norms import correct_if_better
from lrexplore.ranks.heads.head_curves import head_moments
from lrexplore.ranks.in_sequence import factorize_in_sequence
from lrexplore.ranks.numerical import NumericalRank, check_tolerance, numerical_ranks
from lrexplore.ranks.plan import RankPlan

NUM_CORRECTING = 64


def default_initializer(model: nn.Module, *, has_inputs: bool) -> str:
    """The initializer for a model where none is said: by inputs, by what batch norms imply, or by neither."""
    if has_inputs:
        return "whitened"
    return "implied" if isinstance(model, nn.Module) and implies_inputs(model) else "function"


def factorize(
    model: nn.Module,
    *,
    rank_scale: float | None = None,
    rank_multiple: int = 1,
    ranks: dict[str, Any] | None = None,
    plan: RankPlan | None = None,
    tolerance: float | None = None,
    tolerance_of: str = "frobenius",
    heads: float | Mapping[str, int] | None = None,
    form: str = MATRIX,
    shapes: dict[str, Any] | None = None,
    initializer: str | None = None,
    scheme: str | dict[str, str] = "channel",
    loader: Iterable | None = None,
    groups: Groups = None,
    calibration: Calibration | None = None,
    correct_norms: bool | str = "auto",
    generator: torch.Generator | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> nn.Module:
    """A copy of `model` with low-rank layers; `model` itself is untouched.

    Give one of `rank_scale` (every layer whose rank saves parameters), `ranks` (layer name -> rank), a `plan` of
    `lr.allocate` and a `tolerance`: every layer is then cut at its numerical rank, the least whose relative squared
    error is within it, that of the weight or (`tolerance_of="function"`) that of what follows it, by the truncated SVD;
    a layer that saves nothing at that rank is left alone. `lr.report` says what was found of each. It is for networks
    that were trained to be low-rank: of others 1e-4 leaves nearly all layers alone.

    Initializers for real inputs (`lrexplore.init.REAL_INPUTS`) need `loader`, an iterable of inputs or (input, label)
    pairs, or a `calibration` made of one. Default `initializer`: the plan's; "spectral" with a `tolerance`; else
    "whitened" with inputs; without, "implied" for a trained network with batch norms (`lr.implied_inputs`), else
    "function". "sequential" fits layer after layer, each to what the layers before it then give; it goes over `loader`
    several times, which must give the same inputs each time. `groups` says which inputs of the loader belong together,
    as for `lr.calibrate`. With a `loader` the running statistics of batch norms are then corrected on its first 64
    inputs (`lrexplore.network.batch_norm`): with "auto" where that helps by more than its uncertainty on those of them
    that are held out, by groups; with True always, with False never. The other arguments are those of
    `lrexplore.network.replace`, whose record the copy carries too. `plan` is kept on it as `rank_plan`, what was
    decided about batch norms in `lr.report(copy).attrs["batch norms"]`.

    `form`: "matrix" (two factors), or "tucker", "tt", "cp" for kernels larger than 1 x 1 as products of more factors
    (`lrexplore.network.forms`). Ranks are then tuples, `shapes` names the linear layers to be tensor trains, and the
    default `initializer` is "whitened" for "tucker" with inputs, else "rescaled".

    Raises ValueError, before anything is computed, for a plan or a calibration of another network.

    >>> import lrexplore as lr, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> small = lr.factorize(model, rank_scale=0.25)
    >>> small[0].left.shape, small[0].right.shape
    (torch.Size([32, 2]), torch.Size([2, 8]))
    >>> kernels = torch.nn.Sequential(torch.nn.Conv2d(8, 16, 3), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3))
    >>> lr.factorize(kernels, form="tucker", ranks={"2": (4, 6)})[2].core.shape
    torch.Size([6, 4, 3, 3])
    """
    if plan is not None:
        if rank_scale is not None or ranks is not None:
            raise ValueError(
                "One of `rank_scale`, `ranks` and `plan` must be given, got a plan and ranks. Drop the ranks."
            )
        if not isinstance(plan, RankPlan):
            raise TypeError(
                f"`plan` must be a RankPlan, got a {type(plan).__name__}. Load a file with `lr.RankPlan.load(path)`; "
                "a dict of ranks is `ranks`."
            )
        if heads is not None:
            raise ValueError("`heads` must be left out with a `plan`, got both. The plan has the ranks of heads.")
        plan.check(model)
        ranks, scheme, heads = plan.ranks, plan.schemes, plan.heads or None
    numerical: dict[str, NumericalRank] = {}
    if tolerance is not None:
        if rank_scale is not None or ranks is not None:
            raise ValueError(
                "One of `rank_scale`, `ranks`, `plan` and `tolerance` must be given, got a tolerance and others. Drop"
                " them: it finds the ranks."
            )
        check_tolerance(tolerance, tolerance_of)
        layers = find_layers(model)
        if all(layer.skip_reason for layer in layers):
            raise nothing_to_factorize(model, layers)
        check_choices(layers, None, {}, find_initializer("spectral"), scheme, None)
        numerical = numerical_ranks(model, layers, tolerance, measure=tolerance_of, scheme=scheme)
        largest = {layer.name: layer.break_even_rank(scheme_for(layer, scheme)) for layer in layers}
        ranks = {name: at.rank for name, at in numerical.items() if at.rank <= largest[name]}
        initializer = initializer or "spectral"
    if not isinstance(correct_norms, bool) and not (isinstance(correct_norms, str) and correct_norms == "auto"):
        raise TypeError(f"`correct_norms` must be 'auto', True or False, got {correct_norms!r}. Choose one of them.")
    check_groups(groups, has_loader=loader is not None)
    if calibration is not None:
        Calibration.require(calibration, model)
    original = model
    if heads is not None:
        head_ranks = choose_head_ranks(model, heads)
        alone = rank_scale is None and not ranks and tolerance is None
        if loader is not None and calibration is None:
            first, loader = first_items(loader, NUM_CORRECTING, model, groups)
            calibration = calibrate(model, loader, layers=[] if alone else None, heads=True, progress=progress)
            loader, groups = first, None  # the items know theirs
        model = _with_smaller_heads(model, head_ranks, calibration, progress)
        if alone:
            if plan is not None:
                model.rank_plan = plan  # type: ignore[assignment]  # torch: attributes of modules are tensors
            return model
        _check_not_of_heads(original, model, ranks)
        calibration = None if calibration is None else calibration.of(model)
    has_inputs = calibration is not None or loader is not None
    if check_form(form) != MATRIX:
        if plan is not None or rank_multiple != 1 or scheme != "channel":
            raise ValueError(
                f"`plan`, `rank_multiple` and `scheme` must be left out for the form {form}, got one of them. Give "
                "`rank_scale` or `ranks`; a plan has its own forms."
            )
        items, loader = first_items(loader, NUM_CORRECTING, model, groups) if loader is not None else ([], None)
        if initializer is None:
            initializer = "whitened" if has_inputs and form == "tucker" else "rescaled"
        if initializer == "whitened" and calibration is None and loader is not None:
            calibration = calibrate(model, loader, progress=progress)
        factorized = replace_by_tensors(
            model, form=form, rank_scale=rank_scale, ranks=ranks, shapes=shapes, initializer=initializer,
            calibration=calibration, generator=generator, progress=progress,
        )  # fmt: skip
        _correct_norms(original, factorized, items, correct_norms)
        return factorized
    if shapes is not None:
        raise ValueError("`shapes` must be left out for the form matrix, got some. Use form='tt', or drop them.")
    if initializer is None:
        initializer = plan.initializer if plan is not None else default_initializer(model, has_inputs=has_inputs)
    record = find_initializer(initializer)
    if record.in_sequence:
        if loader is None:
            raise ValueError(
                "`loader` must be given for the initializer 'sequential', got None: every layer is fitted to what the "
                "layers before it give. Pass an iterable of inputs, or `initializer='whitened'` with a calibration."
            )
        passes = Passes(loader, model, groups)
        loader, groups = passes(), None
    items, loader = first_items(loader, NUM_CORRECTING, model, groups) if loader is not None else ([], None)
    if calibration is not None and items:
        calibration.warn_of_others(items[0])
    if record.is_implied and (calibration is None or not calibration.is_implied):
        example_input = as_example(items[0].inputs) if items else None
        layers = find_layers(model, example_input)
        if plan is None:
            check_choices(layers, rank_scale, ranks, find_initializer("function"), scheme, None)
        names = [layer.name for layer in layers if layer.skip_reason is None and (ranks is None or layer.name in ranks)]
        calibration = implied_inputs(model, layers=names, example_input=example_input, progress=progress)
    elif record.is_real and calibration is None:
        if loader is None:
            raise ValueError(
                f"`loader` must be given for the initializer {record.name!r}, got None. Pass an iterable of inputs, "
                "or `initializer='function'`, which needs none."
            )
        calibration = calibrate(model, loader, progress=progress)
    if plan is not None and set(plan.forms.values()) - {MATRIX}:
        given = calibration is not None and not calibration.is_implied
        factorized = replace_each(
            model, ranks=ranks or {}, forms=plan.forms, scheme=scheme, initializer=initializer, has_inputs=given,
            calibration=calibration, generator=generator, progress=progress,
        )  # fmt: skip
    elif record.in_sequence and calibration is not None:
        layers = find_layers(model, as_example(items[0].inputs))
        check_choices(layers, rank_scale, ranks, record, scheme, calibration)
        rank_of = {
            layer.name: choose_rank(layer, scheme_for(layer, scheme), rank_scale, ranks, rank_multiple, calibration)
            for layer in layers
        }
        factorized = factorize_in_sequence(
            model, layers, {name: rank for name, rank in rank_of.items() if isinstance(rank, int)}, passes,
            calibration=calibration, scheme=scheme, generator=generator, progress=progress,
        )  # fmt: skip
    else:
        factorized = replace_layers(
            model, rank_scale=rank_scale, rank_multiple=rank_multiple, ranks=ranks, initializer=initializer,
            scheme=scheme, calibration=calibration, generator=generator, progress=progress,
        )  # fmt: skip
    _correct_norms(original, factorized, items, correct_norms)
    if numerical:
        records: Any = factorized.factorization
        told: Any = tuple(_with_finding(record, numerical.get(record.name), tolerance_of) for record in records)
        factorized.factorization = told
    if plan is not None:
        factorized.rank_plan = plan  # type: ignore[assignment]  # torch: attributes of modules are tensors
    return factorized


def _correct_norms(original: nn.Module, factorized: nn.Module, items: list[Item], how: bool | str) -> None:
    if items and how == "auto":
        factorized.about_norms = correct_if_better(original, factorized, items)  # type: ignore[assignment]
    elif items and how:
        correct_batch_norms(original, factorized, [item.inputs for item in items])


def _check_not_of_heads(original: nn.Module, smaller: nn.Module, ranks: Mapping[str, int] | None) -> None:
    """Raises ValueError for layers with a rank that are projections of smaller heads."""
    left = dict(smaller.named_modules())
    for name in ranks or ():
        if name in dict(original.named_modules()) and isinstance(left.get(name), (NarrowHeads, NoneType)):
            raise ValueError(
                f"`ranks` must leave out the projections of attentions whose `heads` are factorized, got {name!r}. "
                "Drop it, or name only heads of other attentions."
            )


def _with_smaller_heads(
    model: nn.Module,
    ranks: Mapping[str, int],
    calibration: Calibration | None,
    progress: Callable[[int, int, str], None] | None,
) -> nn.Module:
    """A copy with smaller heads, and what became of each head in its `factorization`."""
    heads = find_heads(model)
    smaller = smaller_heads(model, ranks, head_moments(model, calibration), progress)
    records = []
    for head in heads:
        rank, reason = ranks.get(head.name), head.reason or "not chosen"
        after = head.parameters if rank is None else head.parameters_at(rank)
        reason = reason if rank is None else ""
        records.append(Replacement(head.name, rank, head.kind.lower(), head.parameters, after, reason))
    smaller.factorization = (*getattr(model, "factorization", ()), *records)  # type: ignore[assignment]
    return smaller


def _with_finding(record: Replacement, finding: NumericalRank | None, measure: str) -> Replacement:
    """What became of a layer, with the numerical rank that was found in its reason."""
    if finding is None:
        return record
    said = f"numerical rank {finding.rank}, {measure} error {finding.error:.2g}"
    if record.rank is None:
        return replace(record, reason=f"{said}: past break-even, left alone")
    return replace(record, reason="; ".join(filter(None, [said, record.reason])))
