"""Replace layers of a model by factorized ones, say what was replaced and saved, and collapse them back."""

from collections.abc import Callable
from dataclasses import astuple, dataclass, fields

import torch
from torch import Tensor, nn

from lrexplore.init import find_initializer, initialize
from lrexplore.init.problem import check_generator
from lrexplore.linalg.rank import check_multiple
from lrexplore.linalg.tensors import MATRIX
from lrexplore.network.attention.smaller_heads import collapse_heads
from lrexplore.network.layer_choices import check_choices, check_finite, choose_rank, scheme_for
from lrexplore.network.layers import (
    Layer,
    batch_norms_of,
    factorized_flops,
    factorized_parameters,
    find_layers,
    weights_of,
)
from lrexplore.network.private import copy_hooks, copy_with, why
from lrexplore.nn.attention.standing import tell_width
from lrexplore.nn.conv import FactorizedConv2d
from lrexplore.nn.factorized import Factorized
from lrexplore.nn.huggingface import note_in_config
from lrexplore.nn.linear import FactorizedConv1D, FactorizedLinear, is_conv1d
from lrexplore.nn.sparse import SparseWeight


@dataclass(frozen=True)
class Replacement:
    """What became of one layer. `rank` (of each group) is None where it was left as it is; `reason` says why.

    A replaced layer whose rank lies past break-even has a reason too: that it now costs more. A form of several ranks
    has them all, the inputs' side first. `flops_before` and `flops_after` are multiply-adds of one input, None where
    its size is not known.
    """

    name: str
    rank: int | tuple[int, ...] | None
    scheme: str
    parameters_before: int
    parameters_after: int
    reason: str = ""
    form: str = MATRIX
    flops_before: int | None = None
    flops_after: int | None = None


def replace_layers(
    model: nn.Module,
    *,
    rank_scale: float | None = None,
    rank_multiple: int = 1,
    ranks: dict[str, int] | None = None,
    initializer: str | Callable = "function",
    scheme: str | dict[str, str] = "channel",
    calibration=None,
    generator: torch.Generator | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> nn.Module:
    """A copy of `model` with low-rank layers; `model` itself is untouched.

    Give `rank_scale` (every layer whose rank saves parameters) or `ranks` (layer name -> rank of each group;
    only these layers, and past break-even too). `rank_multiple` rounds the ranks of a scale to multiples of it, such as
    the 8 numbers that tensor cores take at once. `scheme` is one name, or layer name -> name with "channel"
    for the others. Each layer is initialized for the activation and the batch norm that `find_layers` reads
    after it; those of `lrexplore.init.REAL_INPUTS` also need `calibration`, what `lr.calibrate` recorded of this
    model, and may correct the layer's bias (where it has none, the running mean of the batch norm that follows, or a
    new bias). `progress(done, total, what)` is called with the name of each layer before it, and once at the
    end with "". Without a `generator` the draws are those of seed 0.

    The copy carries `factorization`, one `Replacement` a layer; `report` shows it as a table. Hooks of the replaced
    layers come along. Raises ValueError, before anything is computed, for unknown names, ranks out of range, a
    model none of whose layers can be factorized, and NaN or inf weights.
    """
    layers, record = find_layers(model), find_initializer(initializer)
    check_multiple(rank_multiple)
    check_generator(generator)
    check_choices(layers, rank_scale, ranks, record, scheme, calibration)
    schemes = {layer.name: scheme_for(layer, scheme) for layer in layers}
    inputs = calibration if record.is_real else None
    # A rank, or the reason why the layer stays as it is.
    choices = {
        layer.name: choose_rank(layer, schemes[layer.name], rank_scale, ranks, rank_multiple, inputs)
        for layer in layers
    }
    if ranks is None and all(layer.skip_reason for layer in layers):
        raise nothing_to_factorize(model, layers)
    chosen = [layer for layer in layers if isinstance(choices[layer.name], int)]
    for layer in chosen:
        check_finite(model, layer)
    entries = {} if inputs is None else {layer.name: inputs.entries(layer.name) for layer in chosen}
    memo, seeded, notes, shifts = {}, {}, {}, {}
    for done, layer in enumerate(chosen):
        if progress:
            progress(done, len(chosen), layer.name)
        old = model.get_submodule(layer.name)
        device = old.weight.device
        # One generator for all layers and groups of a device: with one each, all would get the same draw.
        if generator is None and device not in seeded:
            seeded[device] = torch.Generator(device).manual_seed(0)
        rank, chosen_scheme, draws = choices[layer.name], schemes[layer.name], generator or seeded[device]
        factors = _initialized(model, layer, rank, record, chosen_scheme, entries.get(layer.name), draws)
        memo[id(old)] = _module(old, layer, factors, chosen_scheme)
        shifts[layer] = correct_bias(model, layer, memo[id(old)], factors)
        notes[layer.name] = notes_of(factors)
    if progress:
        progress(len(chosen), len(chosen), "")
    records = [_record(layer, choices[layer.name], schemes[layer.name], notes.get(layer.name, "")) for layer in layers]
    return put_in(model, chosen, memo, shifts, records)


def put_in(
    model: nn.Module, chosen: list[Layer], memo: dict, shifts: dict[Layer, Tensor | None], records: list[Replacement]
) -> nn.Module:
    """A copy of the model with the modules that `memo` has for the chosen layers, hooks and records included.

    `shifts`: what is to be taken off the running mean of the batch norm after a layer.
    """
    factorized = copied_with(model, [layer.name for layer in chosen], memo)
    for layer, shift in shifts.items():
        if shift is not None:
            factorized.get_submodule(layer.follows.batch_norm).running_mean.sub_(shift)
    names = {record.name for record in records}
    earlier = [record for record in getattr(model, "factorization", ()) if record.name not in names]
    factorized.factorization = (*earlier, *records)
    factorized.__dict__.pop("pruning", None)  # the report is of what was done last
    note_in_config(factorized)
    return factorized


def copied_with(model: nn.Module, names: list[str], memo: dict) -> nn.Module:
    """A copy of the model with the modules that `memo` has for the named layers, with their hooks."""
    # deepcopy takes what its memo holds, so the replaced weights are never copied.
    try:
        copied = copy_with(model, memo)
    except RuntimeError as error:  # torch's word for tensors that a graph made, as weight norm and pruning leave them
        raise ValueError(
            f"`model` must be one that `copy.deepcopy` copies, got a {type(model).__name__} that it does not "
            f"({why(error)}). Take off weight norm and pruning first (`remove_weight_norm`, `prune.remove`)."
        ) from error
    for name in names:
        copy_hooks(model.get_submodule(name), copied.get_submodule(name), memo)
    return copied


def nothing_to_factorize(model: nn.Module, layers: list[Layer], name: str | None = None) -> ValueError:
    """The error for a model none of whose layers can be factorized, with its `name` and the first three reasons."""
    reasons = "; ".join(f"`{layer.name}`: {layer.skip_reason}" for layer in layers[:3])
    way_out = "Pass a model that has one."
    if any(isinstance(module, Factorized) for module in model.modules()):
        way_out = "Its layers are factorized already: pass `lr.collapse(model)`."
    return ValueError(
        f"`model` must have a layer that can be factorized, got {name or f'a {type(model).__name__}'} with none"
        f"{f' ({reasons})' if reasons else ''}. {way_out}"
    )


def collapse(model: nn.Module) -> nn.Module:
    """A copy of `model` with every factorized or pruned layer replaced by the ordinary layer of equal outputs.

    >>> import lrexplore as lr, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> lr.collapse(lr.factorize(model, rank_scale=0.25))[0]
    Linear(in_features=8, out_features=32, bias=True)
    """
    kinds = (Factorized, SparseWeight)
    replaced = {id(module): module.collapse() for module in model.modules() if isinstance(module, kinds)}
    replaced |= collapse_heads(model)
    memo: dict[int, object] = dict(replaced)
    collapsed = copy_with(model, memo)
    for name, module in model.named_modules():
        if id(module) in replaced:
            copy_hooks(module, collapsed.get_submodule(name), memo)
    for module in collapsed.modules():
        tell_width(module)
    for record in ("factorization", "pruning"):
        collapsed.__dict__.pop(record, None)
    note_in_config(collapsed)
    return collapsed


def report(model: nn.Module):
    """What was done to the layers as a pandas DataFrame, one row a layer; the columns are those of `Replacement`.

    Of a network that `lr.prune` made, they are those of `lrexplore.network.pruning.PrunedLayer`.

    `attrs["batch norms"]` says whether `factorize` corrected them on real inputs, and how that was judged.

    >>> import lrexplore as lr, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> lr.report(lr.factorize(model, rank_scale=0.25))[["name", "rank", "parameters_before", "parameters_after"]]
      name  rank  parameters_before  parameters_after
    0    0     2                288               112
    1    2     1                132                40
    """
    import pandas as pd  # slow to import, and only tables need it

    if hasattr(model, "pruning"):
        table = pd.DataFrame([vars(layer) for layer in model.pruning])
        return table.astype(dict.fromkeys(("flops_before", "flops_after"), "Int64"))
    if not hasattr(model, "factorization"):
        raise ValueError(
            f"`model` must come from `factorize`, got a {type(model).__name__} without a record of one. "
            "Pass what `lr.factorize(model, rank_scale=0.25)` returns."
        )
    columns = [field.name for field in fields(Replacement)]
    table = pd.DataFrame([astuple(replacement) for replacement in model.factorization], columns=columns)
    table.attrs["batch norms"] = getattr(model, "about_norms", "")
    numbers = dict.fromkeys(("flops_before", "flops_after"), "Int64")
    if not any(isinstance(record.rank, tuple) for record in model.factorization):
        numbers["rank"] = "Int64"
    return table.astype(numbers)


def _initialized(model, layer: Layer, rank: int, initializer: Callable, scheme: str, entries, generator) -> list:
    """The factors of every group."""
    weights, norms = weights_of(model, layer), batch_norms_of(model, layer)
    options = {"initializer": initializer, "scheme": scheme, "activation": layer.follows.activation}
    return [
        initialize(weight, rank, batch_norm=norm, calibration=entry, generator=generator, **options)
        for weight, norm, entry in zip(weights, norms, entries or [None] * layer.groups, strict=True)
    ]


def _module(old: nn.Module, layer: Layer, factors: list, scheme: str) -> nn.Module:
    if is_conv1d(old):
        return FactorizedConv1D.from_layer(old, factors[0])
    if layer.kind == "linear":
        return FactorizedLinear.from_layer(old, factors[0])
    return FactorizedConv2d.from_layer(old, factors, scheme)


def notes_of(factors: list) -> str:
    """What the factors of a layer's groups have to say, each thing once."""
    return "; ".join(dict.fromkeys(filter(None, (getattr(x, "note", "") for x in factors))))


def correct_bias(model: nn.Module, layer: Layer, module: nn.Module, factors: list) -> Tensor | None:
    """Adds the factors' correction to the bias; or what to take off the running mean of the batch norm instead."""
    biases = [getattr(pair, "bias", None) for pair in factors]
    if all(bias is None for bias in biases):
        return None
    factor = module.factor_parameters()[0]
    zeros = factor.new_zeros(layer.weight_shape[0] // layer.groups, requires_grad=False)
    shift = torch.cat([zeros if bias is None else bias.to(zeros) for bias in biases])
    if module.bias is not None:
        module.bias.data.add_(shift)
        return None
    norm = layer.follows.batch_norm and model.get_submodule(layer.follows.batch_norm)
    if norm is not None and norm.running_mean is not None and not layer.follows.shared_norm:
        return shift
    module.bias = nn.Parameter(shift, requires_grad=factor.requires_grad)
    module.bias_added = True
    return None


def _record(layer: Layer, choice: int | str, scheme: str, note: str) -> Replacement:
    before = layer.num_parameters
    if isinstance(choice, str):
        return left_alone(layer, choice, scheme)
    after = factorized_parameters(layer, choice, scheme)
    past = f"costs more: rank {choice} is past break-even, rank {layer.break_even_rank(scheme)}"
    reasons = ["" if after < before else past, note]
    flops = {"flops_before": layer.flops, "flops_after": factorized_flops(layer, choice, scheme)}
    return Replacement(layer.name, choice, scheme, before, after, "; ".join(filter(None, reasons)), **flops)


def left_alone(layer: Layer, reason: str, scheme: str = "channel", form: str = MATRIX) -> Replacement:
    """The record of a layer that stays as it is."""
    count, flops = layer.num_parameters, layer.flops if layer.kind in ("linear", "conv") else None
    return Replacement(layer.name, None, scheme, count, count, reason, form, flops, flops)
