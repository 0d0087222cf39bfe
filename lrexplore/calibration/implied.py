"""The inputs of every layer that a trained network implies by itself, without any data.

A batch norm has stored the mean and variance of each channel on the training data. From them, through the operations
between, follow means and covariances of what each layer is given; and where a batch norm follows a layer, what it has
stored of the layer's outputs says how far that is off, which the least change mends.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from lrexplore.calibration.affine import evaluation_affine
from lrexplore.calibration.beliefs import MOST_INPUTS, Belief, Mixing
from lrexplore.calibration.calibration import Calibration
from lrexplore.calibration.least_change import nearest_covariance, nearest_mean
from lrexplore.dual import find_activation
from lrexplore.linalg.decomposition import symmetric_root
from lrexplore.linalg.inputs import IMPLIED, WHITE, LayerInputs
from lrexplore.network import Layer, find_layers
from lrexplore.network.forward.follows import is_batch_norm, norm_width
from lrexplore.network.forward.operations import TRANSPARENT, activation_of, operation
from lrexplore.network.layer_choices import named_layers

_TRUST = 0.5
"""What correlations between channels count before a batch norm's variances correct them: mean-field theory finds too
much of them where it is wrong. On EfficientNet-Lite0, 1x1 layers at rank scale .25, .5 lost least of 0, .5 and 1."""

_POOLS = {"adaptiveavgpool2d", "adaptiveavgpool1d", "mean", "globalavgpool2d"}
_ALIKE = TRANSPARENT | {
    "avgpool2d", "maxpool2d", "avgpool1d", "maxpool1d", "adaptivemaxpool2d", "interpolate", "upsample", "pad",
    "zeropad2d",
}  # fmt: skip
"""Operations after which positions have, nearly, the moments that they had before."""


def implies_inputs(model: nn.Module) -> bool:
    """Whether inputs of all layers follow from the model: see `implied_inputs`."""
    matrices = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    return _has_statistics(model) and all(module.weight[0].numel() <= MOST_INPUTS for module in matrices)


def _has_statistics(model: nn.Module) -> bool:
    """Whether the model has a batch norm whose stored statistics are not those of a fresh one."""
    for module in model.modules():
        mean = getattr(module, "running_mean", None) if is_batch_norm(module) else None
        if mean is not None and not mean.is_meta and bool(mean.count_nonzero()):
            return True
    return False


def implied_inputs(
    model: nn.Module,
    *,
    example_input: Any = None,
    layers: Iterable[str] | None = None,
    num_samples: int = 2048,
    num_held_out: int = 1024,
    progress: Callable[[int, int, str], None] | None = None,
) -> Calibration:
    """A `Calibration` of `model` on the inputs that its batch norms imply; no data is read, and nothing is run.

    Means, variances and covariances of every layer's inputs by mean-field propagation through the graph of the forward
    pass, each corrected by the least change that gives its outputs the variances that the batch norm after it has
    stored. Positions of a map correlate by exp(-distance / 4 pixels), branches are independent, an image's mean over
    a map keeps a quarter of the variance: assumptions, not data. The samples are normal with these moments.
    `entry.source` says "implied by batch norm", or "white noise" where nothing is known of a layer's inputs.
    `example_input` is that of `lr.layers`; `progress(done, total, what)` is called with each layer.

    Raises ValueError for unknown `layers`, a model without stored batch-norm statistics, or with a layer of more
    inputs than 8,192, whose moments take gigabytes.

    >>> model = torch.nn.Sequential(
    ...     torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, 6, 1)
    ... )
    >>> model[1].bias.data += 1
    >>> model[1].running_mean += 0.1
    >>> entry = lr.implied_inputs(model)["3"]
    >>> entry.source, round(float(entry.mean[0]), 2)  # E relu(1 + z)
    ('implied by batch norm', 1.08)
    """
    listed = find_layers(model, example_input)
    if not _has_statistics(model):
        raise ValueError(
            "`model` must have batch norms with statistics of its training data, got a network without. Pass a "
            "`loader` of inputs, or `initializer='function'`, which needs neither."
        )
    wanted = {layer.name: layer for layer in listed if layer.skip_reason is None}
    if layers is not None:
        wanted = named_layers(wanted, layers)
    for name, layer in wanted.items():
        size = torch.Size(layer.group_shape[1:]).numel()
        if size > MOST_INPUTS:
            raise ValueError(
                f"`layers` must have {MOST_INPUTS:,} inputs at most, got `{name}` with {size:,}. Leave it out with "
                "`layers=`, or use `initializer='function'`."
            )
    walk = _Walk(model, {layer.name: layer for layer in listed}, progress)
    given = walk.through(listed.graph, len(wanted)) if listed.graph is not None else {}
    generator = torch.Generator().manual_seed(0)
    entries = {}
    for name, layer in wanted.items():
        if name not in given:
            channels = layer.groups * layer.weight_shape[1]
            given[name] = walk.corrected(layer, Mixing(model.get_submodule(name), 1.0), None, channels)
        entries[name] = _entries(model, layer, *given.pop(name), generator, (num_samples, num_held_out))
    if progress:
        progress(len(wanted), len(wanted), "")
    return Calibration(entries, num_samples + num_held_out)


_INPUT = object()  # stands for the network's input, whose channels the first layer tells


class _Walk:
    """Beliefs along the graph, and what the layers are given."""

    def __init__(self, model: nn.Module, layers: Mapping[str, Layer], progress: Callable[[int, int, str], None] | None):
        self._modules = dict(model.named_modules())
        self._layers, self._progress = layers, progress
        self.given: dict[str, tuple[Belief, Mixing, str]] = {}

    def through(self, graph: fx.Graph, total: int) -> dict[str, tuple[Belief, Mixing, str]]:
        """Layer name -> (its inputs' belief, how it acts, source)."""
        self._total = total
        beliefs: dict[fx.Node, Any] = {}
        for node in graph.nodes:
            beliefs[node] = _INPUT if node.op == "placeholder" else self._after(node, beliefs)
            for read in node.all_input_nodes:  # a network's beliefs are large: each goes with its last reader
                if all(user in beliefs for user in read.users):
                    beliefs.pop(read, None)
        return self.given

    def _after(self, node: fx.Node, beliefs: dict[fx.Node, Any]) -> Any:
        inputs = [beliefs.get(given) for given in node.all_input_nodes]
        first = inputs[0] if inputs else None
        target = self._modules[node.target] if node.op == "call_module" else node.target
        if isinstance(target, (nn.Linear, nn.Conv2d)):
            return self._mixed(str(node.target), target, first)
        if isinstance(target, nn.Module) and is_batch_norm(target):
            return _activated(getattr(target, "act", None), _normalized(target, first))
        if isinstance(target, nn.LayerNorm) and len(target.normalized_shape) == 1 and target.weight is not None:
            return _layer_normalized(target, first)
        if first is _INPUT:
            return _INPUT
        name = operation(target)
        if activation_of(target, node.args[1:], node.kwargs):
            return _activated(target, first, node.args[1:], node.kwargs)
        if not all(isinstance(belief, Belief) for belief in inputs) or first is None:
            return None
        if name in _ALIKE:
            return first
        if name in _POOLS:
            return first.pooled()
        return _combined(name, node, [belief for belief in inputs if belief is not None])

    def _mixed(self, name: str, module: nn.Module, belief: Any) -> Belief:
        layer = self._layers[name]
        channels = layer.groups * layer.weight_shape[1]
        if belief is _INPUT:
            belief = Belief.of_images(channels) if layer.kind == "conv" else None
        elif isinstance(belief, Belief) and len(belief) != channels:
            belief = belief.flattened(channels) if layer.kind == "linear" else None
        mixing = Mixing(module, belief.length if belief else 1.0)
        belief, mixing, source = self.corrected(layer, mixing, belief, channels)
        if layer.skip_reason is None and name not in self.given:
            self.given[name] = belief, mixing, source
            if self._progress:
                self._progress(min(len(self.given), self._total) - 1, self._total, name)
        return mixing(belief)

    def corrected(
        self, layer: Layer, mixing: Mixing, belief: Belief | None, channels: int
    ) -> tuple[Belief, Mixing, str]:
        """The belief after what the batch norm behind the layer has stored of its outputs; white noise for None."""
        norm: Any = self._modules[layer.follows.batch_norm] if layer.follows.batch_norm else None
        variance = None if norm is None or layer.follows.shared_norm else getattr(norm, "running_var", None)
        is_believed = belief is not None
        belief = belief or Belief.of_nothing(channels)
        if variance is None or layer.groups == channels > 1:
            return belief, mixing, IMPLIED if is_believed else WHITE
        variance, wanted = variance.double().cpu(), norm.running_mean.double().cpu() - mixing.bias
        groups, size = mixing.groups, channels // mixing.groups
        mean, covariance = belief.mean.clone(), _trusted(belief.covariance)
        if not is_believed:
            covariance *= float(variance.sum() / mixing(belief).covariance.diagonal().sum().clamp_min(1e-30))
        for group in range(groups):
            columns, rows = slice(group * size, (group + 1) * size), slice(*_rows(group, groups, len(variance)))
            block, parts = covariance[columns, columns], mixing.parts[:, rows]
            mean[columns] = nearest_mean(mean[columns], block, mixing.total[rows], wanted[rows])
            covariance[columns, columns] = nearest_covariance(block, parts, mixing.shares, variance[rows])
        return Belief(mean, covariance, belief.length), mixing, IMPLIED


def _rows(group: int, groups: int, total: int) -> tuple[int, int]:
    return group * total // groups, (group + 1) * total // groups


def _trusted(covariance: Tensor) -> Tensor:
    halved = _TRUST * covariance
    halved.diagonal().copy_(covariance.diagonal())
    return halved


def _normalized(norm: Any, belief: Any) -> Belief:
    """After a batch norm: its shift, the square of its scale."""
    width = norm_width(norm)
    ones = torch.ones(width, dtype=torch.float64)
    gamma, beta, stored = (
        default if value is None else value.detach().double().cpu()
        for value, default in ((norm.weight, ones), (norm.bias, 0 * ones), (norm.running_var, ones))
    )
    variance = gamma.square() * stored / (stored + norm.eps)
    return (belief if isinstance(belief, Belief) else Belief.of_nothing(width)).normalized(beta, variance)


def _layer_normalized(norm: nn.LayerNorm, belief: Any) -> Belief:
    """After a layer norm: its shift, the square of its scale."""
    gamma = norm.weight.detach().double().cpu()
    beta = torch.zeros_like(gamma) if norm.bias is None else norm.bias.detach().double().cpu()
    is_believed = isinstance(belief, Belief) and len(belief) == len(gamma)
    return (belief if is_believed else Belief.of_nothing(len(gamma))).normalized(beta, gamma.square())


def _activated(target: Any, belief: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """After an activation, if `target` is one; the belief itself after what changes nothing."""
    if not isinstance(belief, Belief) or target is None:
        return belief
    follower = activation_of(target, args, kwargs or {})
    if follower is None:
        return belief if operation(target) in TRANSPARENT else None
    return belief.activated(find_activation(follower[0]))


def _combined(name: str, node: fx.Node, beliefs: list[Belief]) -> Belief | None:
    """After a sum, a product or a concatenation."""
    numbers = [value for value in node.args if isinstance(value, (int, float)) and not isinstance(value, bool)]
    same = len({len(belief) for belief in beliefs}) == 1
    if name in {"add", "iadd"} and same:
        total = beliefs[0] if len(beliefs) == 2 or numbers else None
        if total is None:
            return None
        for other in beliefs[1:]:
            total = total.plus(other)
        return Belief(total.mean + sum(numbers), total.covariance, total.length)
    if name in {"mul", "imul"} and same:
        if len(beliefs) == 2:
            return beliefs[0].times(beliefs[1])
        if len(numbers) == 1:
            return Belief(beliefs[0].mean * numbers[0], beliefs[0].covariance * numbers[0] ** 2, beliefs[0].length)
    if name in {"cat", "concat", "concatenate"} and (node.args[1:] or (node.kwargs.get("dim"),))[0] in (1, -3):
        return beliefs[0].beside(beliefs[1:])
    return None


def _entries(
    model: nn.Module, layer: Layer, belief: Belief, mixing: Mixing, source: str, generator: torch.Generator,
    sizes: tuple[int, int],
) -> tuple[LayerInputs, ...]:  # fmt: skip
    weight = model.get_parameter(f"{layer.name}.weight")
    scale, shift = (x.cpu() for x in evaluation_affine(model, layer))
    outputs = mixing(belief)
    variance = outputs.covariance.diagonal().clamp_min(0)
    pre_activation = scale * outputs.mean + shift, scale.abs() * variance.sqrt()
    columns = {
        "scale": scale,
        "shift": shift + scale * mixing.bias,
        "output_mean": outputs.mean,
        "output_variance": variance,
        "active": torch.special.ndtr(pre_activation[0] / pre_activation[1].clamp_min(1e-30)),
    }
    groups, size = layer.groups, len(belief) // layer.groups
    place_root = symmetric_root(*torch.linalg.eigh(mixing.places))
    draw = partial(torch.randn, generator=generator)
    made = []
    for group in range(groups):
        part = slice(group * size, (group + 1) * size)
        mean = belief.mean[part].repeat_interleave(len(mixing.places))
        covariance = belief.covariance[part, part]
        root = symmetric_root(*torch.linalg.eigh(covariance)).float()
        drawn = draw(sum(sizes), len(mixing.places), size) @ root
        vectors = drawn.mT @ place_root.float()
        samples, held_out = (vectors.flatten(1) + mean.float()).to(weight.dtype).split(list(sizes))
        second = torch.kron(covariance, mixing.places).add_(torch.outer(mean, mean))
        made.append(
            LayerInputs(
                mean=mean, second_moment=second, sampling_variance=0.0, num_vectors=sum(sizes), samples=samples,
                held_out=held_out, kernel_size=mixing.kernel_size, source=source,
                **{name: values.chunk(groups)[group] for name, values in columns.items()},
            ).to(device=weight.device)
        )  # fmt: skip
    return tuple(made)
