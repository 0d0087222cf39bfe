"""Layers of a model as products wider than the layer, to train with and to collapse at the end."""

from collections.abc import Iterable
from numbers import Real
from typing import Any

import torch
from torch import nn

from lrexplore.init.problem import check_generator
from lrexplore.linalg import matricize, upcast
from lrexplore.linalg.deep_factors import DeepFactors, spread
from lrexplore.linalg.matricization import SCHEMES
from lrexplore.linalg.tensors.kernel_factors import shared_deviations
from lrexplore.network.forms.tensor_layers import record_of
from lrexplore.network.layer_choices import check_finite, check_names
from lrexplore.network.layers import Layer, find_layers, weights_of
from lrexplore.network.replace import left_alone, nothing_to_factorize, put_in
from lrexplore.nn.deep import DEEP, DeepConv2d, DeepLinear

KINDS = ("full", "deep", "wide")
INNER = ("larger", "smaller")
STARTS = ("spectral", "independent")


def overcomplete(
    model: nn.Module,
    kind: str = "deep",
    *,
    layers: Iterable[str] | None = None,
    inner: str = "larger",
    width: int = 3,
    noise: float = 0.0,
    surplus: float = 0.1,
    initializer: str = "spectral",
    scheme: str = "spatial",
    generator: torch.Generator | None = None,
) -> nn.Module:
    """A copy of `model` whose layers train as products wider than they are; `lr.collapse` makes them ordinary again.

    `kind`: "full" for left right, "deep" for left middle right, "wide" for left right of `width` times the inner
    dimension. That is the `inner` ("larger", as Khodak et al. 2021, arXiv:2105.01029, or "smaller") side of the layer's
    matrix under `scheme`. `layers` names those to change, all that can be without it.

    `initializer` "spectral" keeps what the model computes: singular directions, split evenly, of what is left by random
    ones beyond the matrix's rank (their product has `surplus` of its norm; zeros there never learn); "independent"
    draws factors with the variance of the weight. The middle factor begins as the identity plus `noise` times a
    standard normal draw, which changes outputs by as much. A convolution runs as one, with the product; predictions of
    the collapsed network cost what they did. Frobenius decay knows these layers, `lr.save` and `lr.load` do.
    Raises ValueError for other names, kinds and numbers.

    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> wider = lr.overcomplete(model, "deep", layers=["0"])
    >>> wider[0].left.shape, wider[0].middle.shape, wider[0].right.shape
    (torch.Size([32, 32]), torch.Size([32, 32]), torch.Size([32, 8]))
    >>> lr.collapse(wider)[0]
    Linear(in_features=8, out_features=32, bias=True)
    """
    for argument, value, allowed in (
        ("kind", kind, KINDS),
        ("inner", inner, INNER),
        ("initializer", initializer, STARTS),
        ("scheme", scheme, SCHEMES),
    ):
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"`{argument}` must be one of {', '.join(allowed)}, got {value!r}. Choose one of them.")
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise ValueError(f"`width` must be a whole number >= 1, got {width!r}. Use 3 or 9, as published.")
    for argument, number, low in (("noise", noise, 0.0), ("surplus", surplus, 1e-6)):
        if isinstance(number, bool) or not isinstance(number, Real) or not low <= number <= 1:
            raise ValueError(f"`{argument}` must lie in {low:g}..1, got {number!r}. Leave it out for the default.")
    check_generator(generator)
    listed = find_layers(model)
    names = None if layers is None else [layers] if isinstance(layers, str) else list(layers)
    check_names(listed, 1.0, None, layers=dict.fromkeys(names or ()))
    choices = {layer.name: _choice(layer, names) for layer in listed}
    chosen = [layer for layer in listed if choices[layer.name] is None]
    if not chosen and names is None:
        raise nothing_to_factorize(model, listed)
    for layer in chosen:
        check_finite(model, layer)
    memo: dict[int, Any] = {}
    records = {layer.name: left_alone(layer, choices[layer.name] or "", form=DEEP) for layer in listed}
    seeded: dict[torch.device, torch.Generator] = {}
    for layer in chosen:
        old: Any = model.get_submodule(layer.name)
        device = old.weight.device
        if generator is None and device not in seeded:
            seeded[device] = torch.Generator(device).manual_seed(0)
        draws = generator or seeded[device]
        sides = layer.matrix_shape(scheme)
        rank = (max if inner == "larger" else min)(sides) * (width if kind == "wide" else 1)
        has_middle = kind == "deep"
        made = DeepConv2d if layer.kind == "conv" else DeepLinear
        new = made.like(old, rank, middle=has_middle, scheme=scheme)
        factors = []
        for weight in weights_of(model, layer):
            matrix = upcast(matricize(weight, scheme))
            left, right = _start(matrix, rank, initializer, surplus, draws)
            middle = None
            if has_middle:
                like: dict[str, Any] = {"dtype": matrix.dtype, "device": matrix.device}
                drawn = torch.randn(rank, rank, generator=draws, **like) if noise else 0.0
                middle = torch.eye(rank, **like) + noise * drawn
            factors.append(DeepFactors(left, middle, right))
        new.adopt(old, factors)
        memo[id(old)] = new
        records[layer.name] = record_of(layer, new, rank, DEEP)
    return put_in(model, chosen, memo, {}, list(records.values()))


def _choice(layer: Layer, names: list[str] | None) -> str | None:
    """Why a layer stays as it is, None where it does not."""
    if names is not None and layer.name not in names:
        return "not chosen"
    if layer.skip_reason and names is not None:
        raise ValueError(
            f"`layers` must name layers that can be factorized, got {layer.name!r}: {layer.skip_reason}. Leave it out."
        )
    return layer.skip_reason


def _start(
    matrix: torch.Tensor, rank: int, initializer: str, surplus: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    if initializer == "spectral":
        return spread(matrix, rank, surplus, generator)
    (m, n), variance = matrix.shape, float(matrix.double().square().mean())
    shapes = [(m, rank), (rank, n)]
    like: dict[str, Any] = {"dtype": matrix.dtype, "device": matrix.device, "generator": generator}
    stds = shared_deviations(shapes, [rank], variance)
    left, right = (std * torch.randn(shape, **like) for shape, std in zip(shapes, stds, strict=True))
    return left, right
