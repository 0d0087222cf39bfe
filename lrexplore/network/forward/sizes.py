"""What each layer sees in one forward pass of one sample."""

import inspect
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lrexplore.network.batches import device_of, to_device
from lrexplore.network.forward.follows import RecordedOperations
from lrexplore.network.forward.recording import Recording, record
from lrexplore.network.private import private_copy, why

NUM_TOKENS = 16
IMAGE_SIZES = (224, 32, 28, 64, 96, 128, 256, 299, 384, 512)


class Call(NamedTuple):
    """One call of a layer: (rows, columns) of its input and output, for one sample.

    A linear layer applied to p positions (tokens) has (p, 1) for both.
    """

    input_size: tuple[int, int]
    output_size: tuple[int, int]


class Sizes(NamedTuple):
    """What one forward pass of one sample told of a network, on the input that `text` names; or why it did not.

    `calls` and `other_flops`, the multiply-adds of all but the layers' calls, are None where no forward worked, and so
    is `recording`. `attended`: name of an nn.MultiheadAttention -> queries and keys of each call.
    """

    calls: dict[str, tuple[Call, ...]] | None
    text: str
    other_flops: int | None = None
    recording: Recording | None = None
    attended: dict[str, tuple[tuple[int, int], ...]] = {}


def measure(model: nn.Module, meta_model: nn.Module, names, example_input=None) -> Sizes:
    """The sizes of a forward pass of `meta_model`, the model's skeleton.

    `example_input` is a batched tensor, or the forward's arguments, whose first axis is the batch: a tuple, or a dict
    of them by name. A list of images (detectors take them so) is an argument: `([image, image],)`. A forward that reads
    values, which the skeleton does not have, is run on it by a private copy. Without one, the input is guessed: an
    image of 224 x 224 (then other usual sizes) for the first convolution, or one row for the first linear layer, or 16
    tokens where there is an embedding.
    """
    first_error = None
    for args in _inputs(meta_model, names, example_input):
        try:
            # Gradients stay on: without them nn.TransformerEncoderLayer reads weights and calls no layer.
            with torch.enable_grad():
                return _sizes(meta_model, names, args)
        except Exception as error:  # the forward is the user's: it may raise anything
            first_error = first_error or f"the forward pass on {_describe(args)} failed ({why(error)})"
    if example_input is not None:
        try:
            with torch.no_grad():
                twin = private_copy(model)
                return _sizes(twin, names, to_device(_arguments(example_input), device_of(twin)))
        except Exception as error:
            first_error = f"the forward pass on {_describe(args)} failed ({why(error)})"
    return Sizes(None, f"unknown: {first_error or 'no layer to guess an input from'}. Pass `example_input`.")


def _arguments(example_input):
    if isinstance(example_input, Mapping):
        return dict(example_input)
    return tuple(example_input) if isinstance(example_input, (tuple, list)) else (example_input,)


def _inputs(model: nn.Module, names, example_input):
    if example_input is not None:
        yield to_device(_arguments(example_input), torch.device("meta"))
        return
    layers = [model.get_submodule(name) for name in names]
    convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if convs:
        for size in IMAGE_SIZES:
            yield (_meta(convs[0], (1, convs[0].in_channels, size, size)),)
    elif linears:
        yield (_meta(linears[0], (1, linears[0].in_features)),)
    if not convs and any(isinstance(module, nn.Embedding) for module in model.modules()):
        tokens = torch.zeros(1, NUM_TOKENS, dtype=torch.long, device="meta")
        names = inspect.signature(model.forward).parameters
        both = ("input_ids", "decoder_input_ids")
        yield dict.fromkeys(both, tokens) if all(name in names for name in both) else (tokens,)


def _meta(layer: nn.Module, shape) -> Tensor:
    return torch.empty(shape, device="meta", dtype=layer.weight.dtype)


def _describe(args) -> str:
    shapes = [" x ".join(map(str, leaf.shape)) for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
    return "input " + " and ".join(shapes)


def _sizes(model: nn.Module, names, args) -> Sizes:
    batch = _batch_size(args)
    layers = {model.get_submodule(name): name for name in names}
    recording = record(model, args, layers, RecordedOperations().is_leaf_module)
    calls = {
        name: tuple(_call(layer, given, made, batch) for given, made in recording.calls[name])
        for layer, name in layers.items()
    }
    attended = {
        name: tuple((_positions(query, batch), _positions(key, batch)) for query, key in shapes)
        for name, shapes in recording.attended.items()
    }
    return Sizes(calls, _describe(args), recording.other_multiplications // batch, recording, attended)


def _batch_size(args) -> int:
    """The number of inputs: the length of the first tensor, or of a list of images as detectors take it."""
    first = next(iter(args.values() if isinstance(args, Mapping) else args), None)
    if isinstance(first, (list, tuple)) and first:
        return len(first)
    tensors = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
    return tensors[0].shape[0] if tensors and tensors[0].ndim else 1


def _call(layer: nn.Module, given: torch.Size, made: torch.Size, batch: int) -> Call:
    if isinstance(layer, nn.Conv2d):
        return Call(tuple(given[-2:]), tuple(made[-2:]))
    positions = _positions(made, batch)
    return Call((positions, 1), (positions, 1))


def _positions(shape: torch.Size, batch: int) -> int:
    return shape.numel() // (shape[-1] * batch)
