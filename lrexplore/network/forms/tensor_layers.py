"""Replace layers of a model by the factors of tensors: Tucker-2, tensor train, CP."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from lrexplore.init import initialize
from lrexplore.init.problem import check_generator
from lrexplore.init.tensors import check_tensor_initializer
from lrexplore.linalg.rank import rank_from_scale
from lrexplore.linalg.tensors import TrainMatrix, ranks_from_scale, tensor_form
from lrexplore.linalg.tensors.form_ranks import no_tensor
from lrexplore.network.layer_choices import check_finite, check_names
from lrexplore.network.layers import Layer, batch_norms_of, find_layers, weights_of
from lrexplore.network.replace import (
    Replacement,
    correct_bias,
    left_alone,
    notes_of,
    nothing_to_factorize,
    put_in,
)
from lrexplore.nn.factorized import Factorized
from lrexplore.nn.tensor import CONVS, TrainLinear

Ranks = int | Sequence[int]
Shapes = Mapping[str, Sequence[Sequence[int]]]


def replace_by_tensors(
    model: nn.Module,
    *,
    form: str,
    rank_scale: float | None = None,
    ranks: Mapping[str, Ranks] | None = None,
    shapes: Shapes | None = None,
    initializer: str | None = None,
    calibration=None,
    generator: torch.Generator | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> nn.Module:
    """A copy of `model` with kernels in the form "tucker", "tt" or "cp"; `model` itself is untouched.

    Give `rank_scale` (in every layer all ranks are that share of the full ones, where that saves parameters) or `ranks`
    (layer name -> the ranks of each group; only these layers). 1 x 1 convolutions and linear layers are matrices and
    stay as they are, but for the linear layers in `shapes` (layer name -> ((m1, m2, ...), (n1, n2, ...))), which the
    form "tt" takes apart. The other arguments and the record are those of `lrexplore.network.replace`.
    Raises ValueError, before anything is computed, for names, ranks and shapes that the model has not.
    """
    layers, shapes = find_layers(model), dict(shapes or {})
    check_generator(generator)
    check_names(layers, rank_scale, ranks, shapes=shapes)
    name = None if initializer is None else check_tensor_initializer(initializer, form)
    if name == "whitened" and calibration is None:
        raise ValueError(
            "`calibration` must be given for the initializer 'whitened', got None. Pass `lr.calibrate(model, loader)`, "
            "or use 'rescaled', which needs no inputs."
        )
    choices = {layer.name: _choice(layer, form, rank_scale, ranks, shapes) for layer in layers}
    chosen = [layer for layer in layers if not isinstance(choices[layer.name], str)]
    if ranks is None and all(layer.skip_reason for layer in layers):
        raise nothing_to_factorize(model, layers)
    for layer in chosen:
        check_finite(model, layer)
    memo: dict[int, Any] = {}
    seeded: dict[torch.device, torch.Generator] = {}
    records = {layer.name: left_alone(layer, str(choices[layer.name]), form=form) for layer in layers}
    shifts = {}
    for done, layer in enumerate(chosen):
        if progress:
            progress(done, len(chosen), layer.name)
        old: Any = model.get_submodule(layer.name)
        device = old.weight.device
        if generator is None and device not in seeded:
            seeded[device] = torch.Generator(device).manual_seed(0)
        draws, inputs = generator or seeded[device], [None] * layer.groups
        if name == "whitened" and layer.name in calibration:
            inputs = calibration.entries(layer.name)
        elif name == "whitened":
            records[layer.name] = left_alone(layer, "the calibration has no inputs of it", form=form)
            continue
        shape = shapes.get(layer.name)
        start = "spectral" if shape is not None and name == "rescaled" else name
        factors = [
            initialize(
                weight, choices[layer.name], form=form, initializer=start, shape=shape, generator=draws,
                activation=layer.follows.activation, batch_norm=norm, calibration=entry,
            )
            for weight, norm, entry in zip(weights_of(model, layer), batch_norms_of(model, layer), inputs, strict=True)
        ]  # fmt: skip
        new = CONVS[form].from_layer(old, factors) if shape is None else TrainLinear.from_layer(old, factors[0])
        memo[id(old)] = new
        shifts[layer] = correct_bias(model, layer, new, factors)
        records[layer.name] = record_of(layer, new, choices[layer.name], form, notes_of(factors))
    if progress:
        progress(len(chosen), len(chosen), "")
    return put_in(model, list(shifts), memo, shifts, list(records.values()))


def record_of(layer: Layer, module: Factorized, rank: Any, form: str, note: str = "") -> Replacement:
    """What became of a layer: its costs are those of the module that stands for it now."""
    before = layer.num_parameters
    bias = layer.weight_shape[0] if layer.bias else 0
    after = sum(factor.numel() for factor in module.factor_parameters()) + bias
    reasons = [note] if after < before else [f"costs more: {after} parameters against {before}", note]
    flops = None
    if layer.calls is not None:
        flops = sum(module.multiply_adds(call.input_size, call.output_size) for call in layer.calls)
    reason = "; ".join(filter(None, reasons))
    return Replacement(layer.name, rank, "channel", before, after, reason, form, layer.flops, flops)


def _choice(layer: Layer, form: str, rank_scale, ranks, shapes: Shapes) -> tuple[int, ...] | str:
    """The ranks of a layer's groups, or the reason why it stays as it is."""
    named = ranks is not None and layer.name in ranks
    shape = shapes.get(layer.name)
    reason = layer.skip_reason or (None if shape is not None else no_tensor(form, layer.group_shape))
    if shape is not None and (form != TrainMatrix.form or layer.kind != "linear"):
        raise ValueError(
            f"`shapes` must name linear layers, for the form tt, got {layer.name!r}, a {layer.kind}, for {form}. Leave "
            "it out."
        )
    if reason and (named or shape is not None):
        raise ValueError(
            f"`{'ranks' if named else 'shapes'}` must name layers that have the form {form}, got {layer.name!r}: "
            f"{reason}. Leave it out."
        )
    if reason:
        return reason
    if ranks is not None and not named:
        return "not chosen"
    kind: Any = TrainMatrix if shape is not None else tensor_form(form, layer.group_shape)
    sizes: Any = layer.group_shape if shape is None else TrainMatrix.check_modes(layer.weight_shape, shape)
    if named:
        try:
            return kind.check_ranks(sizes, ranks[layer.name])
        except ValueError as error:
            raise ValueError(f"`ranks` of layer {layer.name!r}: {error}") from None
    if shape is None:
        fitting = ranks_from_scale(form, layer.group_shape, rank_scale)
    else:
        full = kind.full_ranks(sizes)
        fitting = kind.useful(sizes, [rank_from_scale((rank, rank), rank_scale) for rank in full])
    if kind.count(sizes, fitting) >= torch.Size(layer.group_shape).numel():
        return f"ranks {fitting} save no parameters"
    return fitting
