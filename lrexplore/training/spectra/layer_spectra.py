"""A layer's spectrum at a moment, and what cutting it there and then would cost with what follows it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrexplore.dual import BatchNorm
from lrexplore.init import Problem
from lrexplore.init.rank_errors import spectral_errors
from lrexplore.linalg import effective_rank, rank_from_scale, stable_rank
from lrexplore.network import Layer, collapse, find_layers
from lrexplore.nn import FACTORIZED
from lrexplore.nn.factorized import Factorized
from lrexplore.records.spectra import CUTS, QUANTITIES, kept_ranks


@dataclass(frozen=True)
class Snapshot:
    """A layer's weight as it is now, one kernel or matrix a group, its rank (None: full), scheme and norms."""

    layer: Layer
    scheme: str
    rank: int | None
    weights: list[Tensor]
    norms: list[BatchNorm | None]


def recorded_layers(model: nn.Module) -> list[Layer]:
    """The layers whose spectra are recorded, factorized or not: all that could be, with what follows each."""
    modules = dict(model.named_modules())
    return [
        layer for layer in find_layers(collapse(model))
        if layer.skip_reason is None and isinstance(modules.get(layer.name), (nn.Linear, nn.Conv2d, Factorized))
    ]  # fmt: skip


@torch.no_grad()
def snapshot(model: nn.Module, layer: Layer, scheme: str, *, copies: bool = False) -> Snapshot:
    """The layer as it is now; with `copies` of everything, so that training may go on meanwhile."""
    module = model.get_submodule(layer.name)
    rank = None
    if isinstance(module, FACTORIZED):
        rank, scheme = module.rank, getattr(module, "scheme", "channel")
        weights = list(module.collapse().weight.detach().chunk(layer.groups))
    else:
        weight = module.weight.detach()  # of products of tensors formed here; masked weights are zero
        weights = list((weight.clone() if copies else weight).chunk(layer.groups))
    norms = [norm and BatchNorm(norm.gamma.clone(), norm.beta.clone()) for norm in _norms(model, layer)]
    return Snapshot(layer, scheme, rank, weights, norms)


def _norms(model: nn.Module, layer: Layer) -> list[BatchNorm | None]:
    if layer.follows.batch_norm is None:
        return [None] * layer.groups
    module = model.get_submodule(layer.follows.batch_norm)
    like = next(model.parameters())
    width = layer.weight_shape[0]
    gamma = like.new_ones(width) if module.weight is None else module.weight.detach()
    beta = like.new_zeros(width) if module.bias is None else module.bias.detach()
    return [BatchNorm(*part) for part in zip(gamma.chunk(layer.groups), beta.chunk(layer.groups), strict=True)]


def measure(taken: Snapshot) -> dict[str, Any]:
    """`num_values`, `full_rank`, `values` (those that are kept) and one number a quantity.

    NaN where the weights are not finite. Errors are those of `lr.function_error` and `lr.frobenius_error` of the
    truncated SVD, means over the groups.
    """
    shape = taken.layer.matrix_shape(taken.scheme)
    whole = min(shape) if taken.rank is None else min(taken.rank, *shape)
    num_values = whole * len(taken.weights)
    counts = {"num_values": num_values, "full_rank": min(shape) * len(taken.weights)}
    if not all(torch.isfinite(weight).all() for weight in taken.weights):
        return {**counts, "values": [float("nan")] * len(kept_ranks(num_values)),
                **dict.fromkeys(QUANTITIES, float("nan"))}  # fmt: skip
    groups = [_of_group(weight, norm, taken, whole) for weight, norm in zip(taken.weights, taken.norms, strict=True)]
    values = np.sort(np.concatenate([group["values"] for group in groups]))[::-1]
    means = {key: float(np.mean([group[key] for group in groups])) for key in QUANTITIES}
    return {**counts, "values": values[kept_ranks(num_values) - 1].tolist(), **means}


def _of_group(weight: Tensor, norm: BatchNorm | None, taken: Snapshot, whole: int) -> dict[str, Any]:
    # In float64 the Gram matrix, which is so much faster than an SVD, leaves eight digits.
    double = weight.to("cpu", torch.float64)
    norm = norm and BatchNorm(norm.gamma.cpu(), norm.beta.cpu())
    problem = Problem.of(double, taken.scheme, taken.layer.follows.activation, norm)
    ranks = [rank_from_scale(tuple(problem.matrix.shape), scale) for scale in CUTS]
    cut = [rank for rank in ranks if rank < whole]
    values = problem.decomposition(max(cut, default=1)).values[:whole]
    quantities = {
        "values": values.numpy(),
        "stable_rank": stable_rank(values),
        "effective_rank": effective_rank(values),
    }
    squares = values.square()
    total = float(squares.sum())
    for scale, rank in zip(CUTS, ranks, strict=True):
        quantities[f"frobenius_error_{scale:g}"] = float(squares[rank:].sum()) / total if total else 0.0
        quantities[f"function_error_{scale:g}"] = 0.0
    if cut and total:
        try:
            errors = spectral_errors(problem, cut).function_error.tolist()
        except ValueError:  # past the reach of what follows, as in a run that diverges
            errors = [float("nan")] * len(cut)
        for scale, error in zip(CUTS, errors, strict=False):  # what is cut are the smallest scales
            quantities[f"function_error_{scale:g}"] = error
    return quantities
