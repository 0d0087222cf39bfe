"""One pass over a loader that records what every factorizable layer is given."""

from collections.abc import Callable, Iterable, Sized
from functools import partial
from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn

from lrexplore.calibration.affine import evaluation_affine
from lrexplore.calibration.calibration import Calibration
from lrexplore.calibration.head_inputs import HeadInputs, recording_heads
from lrexplore.calibration.leaning import leaning
from lrexplore.calibration.moments import Moments, OutputMoments
from lrexplore.calibration.patches import input_vectors, output_vectors
from lrexplore.calibration.places import LayerPlaces, Places, groups_of, parts_of
from lrexplore.calibration.reservoir import Reservoir
from lrexplore.calibration.spread import Spread
from lrexplore.linalg.inputs import LayerInputs
from lrexplore.network import Layer, find_layers
from lrexplore.network.attention.smaller_heads import with_called_projections
from lrexplore.network.batches import (
    BrokenInputError,
    as_example,
    batch_size,
    device_of,
    evaluation,
    first_inputs,
    read_items,
    run_model,
)
from lrexplore.network.grouping import Groups, Numbering, is_held_out
from lrexplore.network.layer_choices import named_layers
from lrexplore.network.passes import digest_of_first
from lrexplore.network.private import private_copy

CHUNK_VALUES = 16 * 2**20
POSITIONS, NUM_SAMPLES, NUM_HELD_OUT = 256, 2048, 1024
_LARGEST = 1e15
"""What activations may be: the sum of the squares of many is a number of single precision then."""


def calibrate(
    model: nn.Module,
    loader: Iterable,
    *,
    groups: Groups = None,
    layers: Iterable[str] | None = None,
    positions: int | None = POSITIONS,
    num_samples: int = NUM_SAMPLES,
    num_held_out: int = NUM_HELD_OUT,
    lean: bool = True,
    heads: bool = False,
    generator: torch.Generator | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Calibration:
    """The `Calibration` of every factorizable layer of `model` from one pass over `loader`.

    `loader` is any iterable of inputs or (input, label) pairs (`lrexplore.network.batches`). `groups` says which of
    them belong together, such as crops of one photograph: one id an input, in the loader's order, or a function of
    what the loader gives. Without it each is a group. Every fourth group is held out for judging, and how sure the
    moments are is told by the spread between groups: `entry.num_groups` are independent, however many inputs there
    are. Where they are few and the model's batch norms say what its inputs are (`lr.implied_inputs`), a share of that
    is mixed in, `entry.implied_share`, so that the covariance has the least expected error; not with `lean=False`.
    Of an image at most `positions` output pixels (tokens) are looked at, drawn anew for each batch; None takes all.
    `layers` limits it to these names. `heads` also records the queries, keys and attended values of every attention
    head (`lr.heads`), for `lr.head_error` and `lr.factorize(..., heads=...)`; padding counts as any token.
    A private copy of the model runs, in evaluation mode.
    `progress(done, total, "inputs")` is called after each batch, `total` is 0 where the loader does not tell; then with
    the layers of whose inputs batch norms say something. Moments are summed in float64.

    Raises ValueError for an empty loader, a batch that the model refuses, inputs of a layer that are NaN or
    infinite, layers that the model never calls, a model that cannot be copied, and `groups` that are not one an input.

    >>> import lrexplore as lr, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> lr.calibrate(model, [torch.randn(16, 8), torch.randn(16, 8)])
    Calibration(2 layers, 32 inputs)
    """
    generator = generator or torch.Generator().manual_seed(0)
    total = _num_inputs(loader)
    [first, *_], items = first_inputs(loader, 1, model, groups)
    twin = private_copy(model)
    if device_of(twin).type == "meta":
        raise ValueError("`model` must hold values to be run, got tensors on the meta device. Load the weights first.")
    factorizable = {layer.name: layer for layer in find_layers(model, as_example(first)) if layer.skip_reason is None}
    wanted = factorizable if layers is None else named_layers(factorizable, layers)
    places = Places(positions, generator)
    recorders = {
        name: _Recorder(model, layer, places.of(name), num_samples, num_held_out, generator)
        for name, layer in wanted.items()
    }
    hooks, done = [], 0
    numbering = Numbering()
    twin = with_called_projections(twin) if heads else twin
    recorded: dict[str, HeadInputs] = {}
    try:
        for name, recorder in recorders.items():
            module = twin.get_submodule(name)
            hooks.append(module.register_forward_hook(partial(_record, recorder), with_kwargs=True))
        with evaluation(twin), recording_heads(twin, wanted=heads) as of_heads:
            for item in read_items(items):
                size = batch_size(item.inputs)
                numbers = torch.tensor(numbering.of(item.groups, size))
                for recorder in recorders.values():
                    recorder.start(numbers)
                for of_head in of_heads.values():
                    of_head.start(numbers)
                run_model(twin, item.inputs)
                done += size
                if progress:
                    progress(done, total, "inputs")
            inputs_of_heads = {name: recorder.inputs() for name, recorder in of_heads.items()}
            recorded = {name: inputs for name, inputs in inputs_of_heads.items() if inputs is not None}
    finally:
        for hook in hooks:
            hook.remove()
    # Each recorder goes as its entry comes: there is memory for one of them, not for both.
    calibration = Calibration(
        {name: recorders.pop(name).entries() for name in wanted}, done, recorded, digest_of_first(first)
    )
    return leaning(model, calibration, example_input=as_example(first), progress=progress) if lean else calibration


def _num_inputs(loader) -> int:
    """How many inputs a loader will give; 0 where it does not tell."""
    if isinstance(loader, (list, tuple)):
        return sum(batch_size(loader[place]) for place in range(len(loader)))
    data = getattr(loader, "dataset", None)
    return len(data) if isinstance(data, Sized) else 0


def _record(
    recorder: "_Recorder", module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
) -> None:
    recorder.record(args[0] if args else kwargs["input"], output)


class _Recorder:
    """What is collected of one layer."""

    def __init__(
        self,
        model: nn.Module,
        layer: Layer,
        places: LayerPlaces,
        num_samples: int,
        num_held_out: int,
        generator: torch.Generator,
    ):
        self._layer = layer
        self._module: Any = model.get_submodule(layer.name)
        self._places = places
        weight = model.get_parameter(f"{layer.name}.weight")
        size = prod(layer.weight_shape[1:])
        scale, shift = evaluation_affine(model, layer)
        self._scale, self._shift = scale, shift
        self._outputs = OutputMoments(scale, shift)
        self._moments = [Moments(size, weight.device) for _ in range(layer.groups)]
        self._spreads = [Spread(torch.Generator().manual_seed(0)) for _ in range(layer.groups)]
        self._samples = [Reservoir(num_samples, generator) for _ in range(layer.groups)]
        self._held_out = [Reservoir(num_held_out, generator) for _ in range(layer.groups)]
        self._numbers = torch.zeros(1, dtype=torch.long)

    def start(self, numbers: Tensor) -> None:
        """Announces a batch whose inputs belong to the groups of these numbers."""
        self._numbers = numbers

    def record(self, x: Tensor, output: Tensor) -> None:
        """Takes up one call of the layer."""
        is_conv = self._layer.kind == "conv"
        if x.ndim == (3 if is_conv else 1):  # one input without a batch axis
            x, output = x[None], output[None]
        picked, count = self._places.pick(output, is_conv=is_conv)
        x = x.detach()
        size = count * prod(self._layer.weight_shape[1:]) * self._layer.groups
        for start, part in parts_of(x, max(1, CHUNK_VALUES // size)):
            vectors = input_vectors(self._module, part, picked)
            self._check(vectors)
            numbers = groups_of(self._numbers, start, len(vectors), len(x))
            held = torch.tensor([is_held_out(number) for number in numbers.tolist()])
            for group in range(self._layer.groups):
                self._add(group, vectors[:, :, group], held, numbers[~held].tolist())
        self._outputs.add(output_vectors(output.detach(), picked, is_conv=is_conv))

    def _add(self, group: int, vectors: Tensor, held: Tensor, fitted: list[int]) -> None:
        fit = vectors[(~held).to(vectors.device)]
        if len(fit):
            self._moments[group].add(fit)
            self._spreads[group].add(fit, fitted)
            self._samples[group].add(fit.flatten(0, 1))
        if held.any():
            self._held_out[group].add(vectors[held.to(vectors.device)].flatten(0, 1))

    def _check(self, vectors: Tensor) -> None:
        if not torch.isfinite(vectors).all():
            raise BrokenInputError(
                f"`loader` must lead to finite activations, got NaN or inf at the inputs of layer "
                f"`{self._layer.name}`. Look for NaN in the images or in the weights before it."
            )
        peak = float(vectors.abs().amax()) if vectors.numel() else 0.0
        if peak > _LARGEST:
            raise BrokenInputError(
                f"`loader` must lead to activations of at most {_LARGEST:g}, whose products can be summed, got "
                f"{peak:.3g} at the inputs of layer `{self._layer.name}`. Scale the inputs, or mend the weights before "
                "it."
            )

    def entries(self) -> tuple[LayerInputs, ...]:
        """The finished record, one entry a group."""
        if not self._moments[0].num_vectors:
            raise ValueError(
                f"`loader` must lead to calls of every layer, but `{self._layer.name}` was never called. "
                "Leave it out with `layers=`."
            )
        bias = 0 if self._module.bias is None else self._module.bias.detach().double()
        columns = {
            "scale": self._scale,
            "shift": self._shift + self._scale * bias,
            "output_mean": self._outputs.mean,
            "output_variance": self._outputs.variance,
            "active": self._outputs.active,
        }
        parts = {name: values.chunk(self._layer.groups) for name, values in columns.items()}
        return tuple(
            self._entry(group, {name: chunks[group] for name, chunks in parts.items()})
            for group in range(self._layer.groups)
        )

    def _entry(self, group: int, columns: dict[str, Tensor]) -> LayerInputs:
        num_vectors = self._moments[group].num_vectors
        mean, second_moment = self._moments[group].finish()
        spread = self._spreads[group]
        return LayerInputs(
            mean=mean,
            second_moment=second_moment,
            sampling_variance=spread.of_covariance(mean),
            num_vectors=num_vectors,
            num_groups=spread.num_groups,
            samples=self._samples[group].sample(len(mean), self._module.weight),
            held_out=self._held_out[group].sample(len(mean), self._module.weight),
            kernel_size=cast(tuple[int, int], self._layer.kernel_size),
            **columns,  # type: ignore[arg-type]  # tensors all
        )
