"""Every factorized or pruned layer of a model, whatever its kind, and the module of a kind anew from a description."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from lrexplore.linalg import Factors, matrix_shape
from lrexplore.nn.conv import FactorizedConv2d
from lrexplore.nn.deep import DEEP, DeepConv2d, DeepLinear
from lrexplore.nn.factorized import Factorized
from lrexplore.nn.kinds import check_module
from lrexplore.nn.linear import FactorizedConv1D, FactorizedLinear, is_conv1d, matrix_of
from lrexplore.nn.sparse import SparseConv2d, SparseLinear, SparseWeight, sparse_layers
from lrexplore.nn.sparse.masked_weight import SPARSE
from lrexplore.nn.tensor import CONVS, TrainLinear

NAMES = (*CONVS, DEEP, SPARSE)
"""Forms that a description may name; one that names none is of a factor pair."""


def all_factorized(model: nn.Module) -> dict[str, Any]:
    """Name -> module of the model's factorized layers of every kind."""
    return {name: module for name, module in check_module(model).named_modules() if isinstance(module, Factorized)}


def all_changed(model: nn.Module) -> dict[str, Any]:
    """Name -> module of the model's layers that stand for ordinary ones: the factorized and the pruned."""
    return {**all_factorized(model), **sparse_layers(model)}


def own_names(module: Factorized | SparseWeight) -> list[str]:
    """What in the state dict of such a module an ordinary one has not: its factors, or its mask."""
    if isinstance(module, SparseWeight):
        return ["mask"]
    factors = set(map(id, module.factor_parameters()))
    return [name for name, parameter in module.named_parameters() if id(parameter) in factors]


def rebuilt(layer: nn.Module, options: Mapping[str, Any]) -> Any:
    """The factorized layer, without values (on the meta device), that stands for `layer`, as `built` described it."""
    if "form" not in options:
        return factorized_like(layer, options["rank"], options["scheme"])
    if options["form"] == SPARSE:
        kind: Any = SparseLinear if isinstance(layer, nn.Linear) else SparseConv2d
        return kind.like(layer)
    if options["form"] == DEEP:
        made: Any = DeepLinear if isinstance(layer, nn.Linear) else DeepConv2d
        return made.like(layer, *options["ranks"], middle=options["middle"], scheme=options["scheme"])
    if isinstance(layer, nn.Linear):
        return TrainLinear.like(layer, options["ranks"], options["shape"])
    assert isinstance(layer, nn.Conv2d)
    return CONVS[options["form"]].like(layer, options["ranks"])


def factorized_like(layer: nn.Module, rank: int, scheme: str) -> FactorizedLinear | FactorizedConv2d:
    """The factorized layer of this rank, without values (on the meta device), that stands for a layer."""
    weight: Any = matrix_of(layer)
    groups = getattr(layer, "groups", 1)
    m, n = matrix_shape((len(weight) // groups, *weight.shape[1:]), scheme)
    like: dict[str, Any] = {"device": "meta", "dtype": weight.dtype}
    factors = Factors(torch.empty(m, rank, **like), torch.empty(rank, n, **like))
    if is_conv1d(layer):
        return FactorizedConv1D.from_layer(cast(Any, layer), factors)
    if isinstance(layer, nn.Linear):
        return FactorizedLinear.from_layer(layer, factors)
    assert isinstance(layer, nn.Conv2d)
    return FactorizedConv2d.from_layer(layer, [factors] * groups, scheme)
