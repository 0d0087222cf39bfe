"""How much each weight counts, by method: the largest are kept."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.linalg import upcast
from lrexplore.network.answers import class_numbers, logits_of
from lrexplore.network.batches import device_of, read_items, run_model
from lrexplore.network.private import copy_with, private_copy

TEMPERATURE = 200.0
"""GraSP divides logits by it, so that the gradient is that of a network that is sure of nothing."""

_DROPOUT = (nn.modules.dropout._DropoutNd, nn.RReLU)
Scores = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of pruning: `scores(model, names, loader, generator)` gives a number a weight, layer by layer."""

    scores: Callable[[nn.Module, list[str], Any, torch.Generator], Scores]
    needs_loader: bool = False


def _magnitude(model: nn.Module, names: list[str], loader: Any, generator: torch.Generator) -> Scores:
    """|w|."""
    return {name: upcast(_weight(model, name).detach().abs()) for name in names}


def _random(model: nn.Module, names: list[str], loader: Any, generator: torch.Generator) -> Scores:
    """A uniform draw: the control."""
    weights = {name: _weight(model, name) for name in names}
    return {
        name: torch.rand(weight.shape, generator=generator, device=generator.device).to(weight.device)
        for name, weight in weights.items()
    }


def _snip(model: nn.Module, names: list[str], loader: Iterable, generator: torch.Generator) -> Scores:
    """|w dL/dw|: what the loss would change by, to first order (Lee, Ajanthan, Torr 2019, arXiv:1810.02340)."""
    twin = _trainable(model)
    weights = [_weight(twin, name) for name in names]
    total = [torch.zeros_like(weight) for weight in weights]
    for loss in _losses(twin, loader, 1.0):
        for sum_, gradient in zip(total, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
            if gradient is not None:
                sum_ += gradient
    return {
        name: (weight.detach() * gradient).abs() for name, weight, gradient in zip(names, weights, total, strict=True)
    }


def _grasp(model: nn.Module, names: list[str], loader: Iterable, generator: torch.Generator) -> Scores:
    """w (H g): what the squared norm of the gradient would lose (Wang, Zhang, Grosse 2020, arXiv:2002.07376).

    Two passes over the loader: g first, then the Hessian's product with it. Weights whose loss raises the gradient flow
    most, w (H g) least, go first.
    """
    twin, items = _trainable(model), list(read_items(loader, model))
    weights = [_weight(twin, name) for name in names]
    flow = [torch.zeros_like(weight) for weight in weights]
    for loss in _losses(twin, items, TEMPERATURE):
        for sum_, gradient in zip(flow, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
            if gradient is not None:
                sum_ += gradient
    curved = [torch.zeros_like(weight) for weight in weights]
    for loss in _losses(twin, items, TEMPERATURE):
        gradients = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
        along = sum((g * f).sum() for g, f in zip(gradients, flow, strict=True) if g is not None)
        for sum_, product in zip(curved, torch.autograd.grad(along, weights, allow_unused=True), strict=True):
            if product is not None:
                sum_ += product
    return {name: weight.detach() * product for name, weight, product in zip(names, weights, curved, strict=True)}


METHODS = {
    "magnitude": Method(scores=_magnitude),
    "snip": Method(scores=_snip, needs_loader=True),
    "grasp": Method(scores=_grasp, needs_loader=True),
    "random": Method(scores=_random),
}


def _weight(model: nn.Module, name: str) -> Any:
    return model.get_submodule(name).weight


def _trainable(model: nn.Module) -> nn.Module:
    """A copy as it would train: batch norms by the batch, all weights free; dropout alone is off, for it is chance."""
    twin = private_copy(copy_with(model, {})).train().requires_grad_(True)  # with parameters of its own, and no hooks
    for module in twin.modules():
        if isinstance(module, _DROPOUT):
            module.eval()
    return twin


def _losses(model: nn.Module, loader: Iterable, temperature: float) -> Iterator[Tensor]:
    """The summed cross entropy of every batch."""
    for item in read_items(loader, model):
        if item.labels is None:
            raise ValueError(
                "`loader` must give labels for this method, got inputs alone. Pass (inputs, labels) pairs, or use "
                "method='magnitude', which needs none."
            )
        with torch.enable_grad():
            logits = logits_of(run_model(model, item.inputs))
            labels = class_numbers(item.labels, *logits.shape).to(device_of(model))
            yield F.cross_entropy(logits / temperature, labels, reduction="sum")
