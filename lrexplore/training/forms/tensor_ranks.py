"""Ranks of the kernels of a run in a form of tensors: by one scale, or by the scale that keeps so many parameters."""

from math import prod

from torch import nn

from lrexplore.linalg.tensors import ranks_from_scale, tensor_form
from lrexplore.linalg.tensors.form_ranks import no_tensor
from lrexplore.network import Layer
from lrexplore.recipes.config import Config
from lrexplore.training.chosen_ranks import bisected, candidates

Ranks = dict[str, tuple[int, ...]]


def chosen_tensor_ranks(model: nn.Module, config: Config) -> Ranks:
    """Layer name -> ranks, of the layers that may be factorized, have the form, and save parameters in it.

    Raises ValueError where there is none, and for a ratio below what the form can reach, with the smallest.
    """
    layers = [layer for layer in candidates(model, config.layers) if no_tensor(config.form, layer.group_shape) is None]
    total = sum(parameter.numel() for parameter in model.parameters())
    if config.rank_scale is not None:
        ranks = _at(layers, config.form, config.rank_scale)
    else:
        least = 1 - _saved(layers, config.form, _at(layers, config.form, 1e-9)) / total
        if config.rank_ratio < least:
            raise ValueError(
                f"`rank_ratio` must be at least {least:.4g} for {config.model} in the form {config.form}, got "
                f"{config.rank_ratio!r}: rank 1 everywhere leaves so much. Choose a larger one."
            )
        scale, _ = bisected(
            lambda scale: 1 - _saved(layers, config.form, _at(layers, config.form, scale)) / total, config.rank_ratio
        )
        ranks = _at(layers, config.form, scale)
    if not ranks:
        raise ValueError(
            f"`form` must be one that a layer of {config.model} has and saves parameters in, got {config.form!r}. "
            "Choose a smaller scale, or the form matrix."
        )
    return ranks


def _at(layers: list[Layer], form: str, scale: float) -> Ranks:
    ranks = {layer.name: ranks_from_scale(form, layer.group_shape, max(scale, 1e-9)) for layer in layers}
    return {layer.name: ranks[layer.name] for layer in layers if _saving(layer, form, ranks[layer.name]) > 0}


def _saving(layer: Layer, form: str, ranks: tuple[int, ...]) -> int:
    shape = layer.group_shape
    return layer.groups * (prod(shape) - tensor_form(form, shape).count(shape, ranks))


def _saved(layers: list[Layer], form: str, ranks: Ranks) -> int:
    return sum(_saving(layer, form, ranks[layer.name]) for layer in layers if layer.name in ranks)
