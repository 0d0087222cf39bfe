"""What each layer sees in one forward pass of one sample."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from lrexplore.network.skeleton import why

IMAGE_SIZES = (224, 32, 28, 64, 96, 128, 256, 299, 384, 512)


class Call(NamedTuple):
    """One call of a layer: (rows, columns) of its input and output, for one sample.

    A linear layer applied to p positions (tokens) has (p, 1) for both.
    """

    input_size: tuple[int, int]
    output_size: tuple[int, int]


def measure(meta_model: nn.Module, names, example_input=None) -> tuple[dict[str, tuple[Call, ...]] | None, str]:
    """The calls of each named layer in one forward pass on meta tensors, and the input they were measured on.

    `example_input` is a batched tensor, or the forward's arguments, whose first axis is the batch: a tuple, or a dict
    of them by name.
    Without one, the input is guessed: an image of 224 x 224 (then other usual sizes) for the first
    convolution, or one row for the first linear layer. When no forward works the calls are None and the text
    says why.
    """
    first_error = None
    for args in _inputs(meta_model, names, example_input):
        try:
            return _calls(meta_model, names, args), _describe(args)
        except Exception as error:  # the forward is the user's: it may raise anything
            first_error = first_error or f"the forward pass on {_describe(args)} failed ({why(error)})"
    return None, f"unknown: {first_error or 'no layer to guess an input from'}. Pass `example_input`."


def _inputs(model: nn.Module, names, example_input):
    if example_input is not None:
        given = tuple(example_input) if isinstance(example_input, (tuple, list)) else (example_input,)
        args = dict(example_input) if isinstance(example_input, Mapping) else given
        yield tree_map(lambda value: value.detach().to("meta") if isinstance(value, Tensor) else value, args)
        return
    layers = [model.get_submodule(name) for name in names]
    convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if convs:
        for size in IMAGE_SIZES:
            yield (_meta(convs[0], (1, convs[0].in_channels, size, size)),)
    elif linears:
        yield (_meta(linears[0], (1, linears[0].in_features)),)


def _meta(layer: nn.Module, shape) -> Tensor:
    return torch.empty(shape, device="meta", dtype=layer.weight.dtype)


def _describe(args) -> str:
    shapes = [" x ".join(map(str, leaf.shape)) for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
    return "input " + " and ".join(shapes)


def _calls(model: nn.Module, names, args) -> dict[str, tuple[Call, ...]]:
    tensors = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
    batch = tensors[0].shape[0] if tensors and tensors[0].ndim else 1
    calls = defaultdict(list)

    def record(name, module, inputs, keywords, output):
        if isinstance(module, nn.Conv2d):
            image = inputs[0] if inputs else keywords["input"]
            calls[name].append(Call(tuple(image.shape[-2:]), tuple(output.shape[-2:])))
        else:
            positions = output.numel() // (output.shape[-1] * batch)
            calls[name].append(Call((positions, 1), (positions, 1)))

    hooks = [
        model.get_submodule(name).register_forward_hook(lambda *seen, name=name: record(name, *seen), with_kwargs=True)
        for name in names
    ]
    try:
        # Gradients stay on: without them nn.TransformerEncoderLayer reads weights and calls no layer.
        with torch.enable_grad():
            model(**args) if isinstance(args, dict) else model(*args)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: tuple(calls[name]) for name in names}
