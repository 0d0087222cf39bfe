"""What the caller of `replace_layers` chose for each layer, checked before anything is computed."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import torch
from torch import nn

from lrexplore import linalg
from lrexplore.init import Initializer
from lrexplore.linalg.matricization import SCHEMES
from lrexplore.linalg.rank import check_rank, rank_from_scale
from lrexplore.network.layers import Layer, batch_norm_of


def scheme_for(layer: Layer, scheme: str | dict[str, str]) -> str:
    """The scheme of a layer, from one for all or from layer name -> scheme (default "channel")."""
    return scheme if isinstance(scheme, str) else scheme.get(layer.name, "channel")


def named_layers(factorizable: dict[str, Layer], layers: Iterable[str]) -> dict[str, Layer]:
    """Those of the layers that can be factorized which are named. Raises TypeError or ValueError for other names."""
    if isinstance(layers, str) or not isinstance(layers, Iterable):
        raise TypeError(f"`layers` must be names of layers, got {layers!r}. Pass a list of them: `[name]`.")
    chosen = {}
    for name in layers:
        if not isinstance(name, str) or name not in factorizable:
            raise ValueError(
                f"`layers` must name layers that can be factorized, got {name!r}. See `lr.layers(model)` for them."
            )
        chosen[name] = factorizable[name]
    return chosen


def choose_rank(
    layer: Layer,
    scheme: str,
    rank_scale: float | None,
    ranks: dict[str, int] | None,
    rank_multiple: int = 1,
    calibration=None,
) -> int | str:
    """The layer's rank, or the reason why it stays as it is; `calibration` where its inputs are needed."""
    if layer.skip_reason:
        return layer.skip_reason
    if calibration is not None and layer.name not in calibration and (ranks is None or layer.name not in ranks):
        return "the calibration has no inputs of it"
    if ranks is not None:
        return int(ranks[layer.name]) if layer.name in ranks else "not chosen"
    (m, n), largest = layer.matrix_shape(scheme), layer.break_even_rank(scheme)
    rank = rank_from_scale((m, n), rank_scale, rank_multiple)
    if rank > largest:
        return f"rank {rank} is past break-even: a {m} x {n} matrix saves parameters up to rank {largest}"
    return rank


def check_choices(layers: list[Layer], rank_scale, ranks, initializer: Initializer, scheme, calibration=None) -> None:
    """Raises ValueError, with the nearest names, for anything `replace_layers` cannot do with these layers."""
    if initializer.is_real and calibration is None and (rank_scale is None) != (ranks is None):
        raise ValueError(
            f"`calibration` must be given for the initializer {initializer.name!r}, got None. Pass "
            "`lr.calibrate(model, loader)`, or use `function`, which needs no inputs."
        )
    if not isinstance(scheme, (str, Mapping)):
        raise ValueError(
            f"`scheme` must be one of {', '.join(SCHEMES)}, or a dict of layer name -> one, got {scheme!r}. Leave it "
            "out for channel."
        )
    check_names(layers, rank_scale, ranks, scheme={} if isinstance(scheme, str) else scheme)
    by_name = {layer.name: layer for layer in layers}
    for value in [scheme] if isinstance(scheme, str) else scheme.values():
        if value not in SCHEMES:
            raise ValueError(f"`scheme` must be one of {', '.join(SCHEMES)}, got {value!r}. Choose one of them.")
    for name, rank in (ranks or {}).items():
        if initializer.is_real and not by_name[name].skip_reason and name not in calibration:
            raise ValueError(
                f"`ranks` must name layers that the calibration has inputs of, got {name!r}. Calibrate that layer too, "
                "or use `initializer='function'`."
            )
        _check_rank_of(by_name[name], rank, scheme_for(by_name[name], scheme))


def check_names(layers: list[Layer], rank_scale, ranks, /, **others: Mapping[str, object]) -> None:
    """Raises ValueError, with the nearest names, unless there is a scale or ranks, and all dicts name layers."""
    if (rank_scale is None) == (ranks is None):
        raise ValueError(
            f"One of `rank_scale` and `ranks` must be given, got {'neither' if ranks is None else 'both'}. "
            "Use `rank_scale=0.25` for all layers, or `ranks={layer: rank}` for some."
        )
    by_name = {layer.name: layer for layer in layers}
    if not isinstance(ranks, Mapping | None):
        raise TypeError(
            f"`ranks` must be a dict of layer name -> rank, got a {type(ranks).__name__}. Use `rank_scale` for one "
            "share in all layers."
        )
    for argument, names in {"ranks": ranks or {}, **others}.items():
        for name in names:
            if name not in by_name:
                raise ValueError(
                    f"`{argument}` must name layers of the model, got {name!r}. "
                    + _nearest(name, by_name, "See `lr.layers(model)` for the names.")
                )
    if rank_scale is not None:
        rank_from_scale((1, 1), rank_scale)


def _check_rank_of(layer: Layer, rank, scheme: str) -> None:
    if layer.skip_reason:
        raise ValueError(
            f"`ranks` must name layers that can be factorized, got {layer.name!r}: {layer.skip_reason}. Leave it out."
        )
    try:
        check_rank(rank, layer.matrix_shape(scheme))
    except (ValueError, TypeError) as error:
        raise ValueError(f"`ranks` of layer {layer.name!r}: {error}") from None


def _nearest(name, names, otherwise: str) -> str:
    near = get_close_matches(str(name), list(names), n=3, cutoff=0.4)
    return f"Nearest: {', '.join(near)}." if near else otherwise


def check_finite(model: nn.Module, layer: Layer) -> None:
    """Raises ValueError, with its name, for a weight or a batch norm's scale that cannot be computed with."""
    linalg.check_finite(model.get_submodule(layer.name).weight, layer.name)
    if batch_norm := batch_norm_of(model, layer):
        linalg.check_finite(torch.stack(batch_norm), layer.follows.batch_norm)
