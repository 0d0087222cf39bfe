"""Which layers of a model can be factorized, their sizes, and what follows each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, fx, nn

from lrexplore.dual import BatchNorm
from lrexplore.linalg.matricization import matrix_shape
from lrexplore.linalg.rank import break_even_rank, check_rank, num_factor_parameters
from lrexplore.linalg.tensors import tensor_form
from lrexplore.network.batches import as_example, example_inputs
from lrexplore.network.forward.follows import Follows, find_follows
from lrexplore.network.forward.sizes import Call, measure
from lrexplore.network.forward.skipped import listed_weight, skip_reason
from lrexplore.network.private import skeleton
from lrexplore.nn.linear import is_conv1d, matrix_of


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One linear layer or convolution of a model, in plain values (it holds no tensor).

    `kind` is "linear" or "conv", or the class name of a layer that is only listed, such as "Conv1d".
    `weight_shape` is that of the whole layer; `group_shape` that of one group, which is what is factorized.
    `calls` holds the sizes of each call in one forward of one sample, or None; `measured` says on what input,
    or why not. `skip_reason` is None where the layer can be factorized.
    """

    name: str
    kind: str
    weight_shape: tuple[int, ...]
    bias: bool
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] | str = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    padding_mode: str = "zeros"
    groups: int = 1
    follows: Follows
    calls: tuple[Call, ...] | None
    measured: str
    skip_reason: str | None

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """The kernel's (k_h, k_w); (1, 1) of a linear layer."""
        return self.weight_shape[2:] or (1, 1)

    @property
    def group_shape(self) -> tuple[int, ...]:
        """The shape of one group's weight."""
        return self.weight_shape[0] // self.groups, *self.weight_shape[1:]

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Rows and columns of the image that the first call gets; None for a linear layer or when unknown."""
        return self.calls[0].input_size if self.kind == "conv" and self.calls else None

    @property
    def output_size(self) -> tuple[int, int] | None:
        """Rows and columns of the image that the first call gives; None for a linear layer or if unknown."""
        return self.calls[0].output_size if self.kind == "conv" and self.calls else None

    @property
    def num_parameters(self) -> int:
        """Numbers in weight and bias."""
        return torch.Size(self.weight_shape).numel() + (self.weight_shape[0] if self.bias else 0)

    @property
    def flops(self) -> int | None:
        """Multiply-adds of one sample, all calls together (torchvision's convention); None when unknown."""
        if self.calls is None:
            return None
        positions = sum(call.output_size[0] * call.output_size[1] for call in self.calls)
        return positions * torch.Size(self.weight_shape).numel()

    def matrix_shape(self, scheme: str = "channel") -> tuple[int, int]:
        """The shape (m, n) of the matrix of one group under a scheme."""
        return matrix_shape(self.group_shape, scheme)

    def break_even_rank(self, scheme: str = "channel") -> int:
        """The largest rank that saves parameters; 0 when none does."""
        return break_even_rank(self.matrix_shape(scheme))

    @property
    def rank_step(self) -> int:
        """Ranks are multiples of it."""
        return 1

    def parameters_at(self, rank: int, scheme: str = "channel") -> int:
        """Numbers in the factors of all groups and the bias, at `rank` a group."""
        shape = self.matrix_shape(scheme)
        factors = self.groups * num_factor_parameters(shape, check_rank(rank, shape))
        return factors + (self.weight_shape[0] if self.bias else 0)

    def flops_at(self, rank: int, scheme: str = "channel") -> int | None:
        """Multiply-adds of one sample in both halves of the factorized layer; None where `flops` is.

        Under `spatial` the first half (1 x k_w) runs on every input row, the second on the output's rows.
        """
        m, n = self.matrix_shape(scheme)
        check_rank(rank, (m, n))
        if self.calls is None:
            return None
        # With k_h = 1 the spatial halves are the channel halves.
        spatial = scheme == "spatial" and self.kernel_size[0] > 1
        flops = 0
        for call in self.calls:
            rows, columns = call.output_size
            first_rows = call.input_size[0] if spatial else rows
            flops += first_rows * columns * self.groups * rank * n + rows * columns * self.groups * m * rank
        return flops


class Layers(list[Layer]):
    """A model's layers, with what the rest of it computes.

    `other_flops`: multiply-adds of one sample in all but the calls of these linear layers and convolutions, such as
    products of activations, recurrent layers, and matrices that are read and not called; None when unknown. `graph`:
    the operations of one forward pass, layers, batch norms and activations being one each; None where none ran.
    `attended`: name of an nn.MultiheadAttention -> numbers of queries and keys of one sample, one pair a call.
    """

    def __init__(self, layers=(), *, other_flops: int | None = None, graph: fx.Graph | None = None, attended=None):
        super().__init__(layers)
        self.other_flops, self.graph = other_flops, graph
        self.attended: dict[str, tuple[tuple[int, int], ...]] = attended or {}

    @property
    def flops(self) -> int | None:
        """Multiply-adds of one sample in the whole model; None when unknown."""
        counts = [layer.flops for layer in self if layer.kind in ("linear", "conv")]
        if self.other_flops is None or None in counts:
            return None
        return sum(counts) + self.other_flops


def find_layers(model: nn.Module, example_input=None) -> Layers:
    """Every linear layer and convolution of `model` in module order, each with its sizes and what follows it.

    Those that cannot be factorized are there too, with a `skip_reason`, and so are other modules that hold a matrix,
    such as the experts of a mixture. The model is neither run nor changed;
    a copy without weights is. `example_input` (a batch, or the forward's arguments as a tuple or a dict) sets the
    sizes; without it they are those of a 224 x 224 image where the model takes one. A forward that reads values needs
    it: then a private copy with the weights is run.
    Raises TypeError for anything but an nn.Module, ValueError for lazy layers that have no weight yet and for a model
    that cannot be copied.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"`model` must be an nn.Module, got {type(model).__name__}. Load one with `lr.load_model(name)`."
        )
    if example_input is not None:
        example_input = as_example(example_inputs(example_input, model))
    weights = {name: listed_weight(module) for name, module in model.named_modules()}
    modules = {name: model.get_submodule(name) for name, weight in weights.items() if weight is not None}
    for name in modules:
        if nn.parameter.is_lazy(weights[name]):
            raise ValueError(
                f"`model` must have its weights, got `{name}` that is lazy and has none yet. Run the model once first."
            )
    owners = Counter(id(weight) for module in model.modules() for weight in module._parameters.values())
    kinds = {name: _kind(module) for name, module in modules.items()}
    names = [name for name, kind in kinds.items() if kind in ("linear", "conv")]
    copy = skeleton(model)
    calls, measured, other_flops, recording, attended = measure(model, copy, names, example_input)
    for name, module in model.named_modules():
        if isinstance(module, nn.PReLU):
            copy.get_submodule(name).weight = module.weight  # it is which activation it is
    follows = find_follows(copy, names, recording and recording.graph)
    read = recording.read if recording else ()
    layers = Layers(other_flops=other_flops, graph=recording and recording.graph, attended=attended)
    for name, module in modules.items():
        seen = calls.get(name) if calls is not None else None
        follow = Follows(text="not called") if seen == () else follows.get(name, Follows())
        shared = owners[id(module._parameters.get("weight"))] > 1
        reason = skip_reason(model, name, module, seen, shared=shared, read=name in read)
        layers.append(
            Layer(
                name=name,
                kind=kinds[name],
                weight_shape=tuple(weights[name].shape),
                bias=getattr(module, "bias", None) is not None,
                **_conv_options(module),
                follows=follow,
                calls=seen,
                measured=measured,
                skip_reason=reason,
            )
        )
    return layers


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Linear) or is_conv1d(module):
        return "linear"
    return "conv" if isinstance(module, nn.Conv2d) else type(module).__name__


def _conv_options(module: nn.Module) -> dict:
    if not isinstance(module, nn.modules.conv._ConvNd):
        return {}
    names = ("stride", "padding", "dilation", "padding_mode", "groups")
    return {name: getattr(module, name) for name in names}


def weights_of(model: nn.Module, layer: Layer) -> list[Tensor]:
    """The layer's weight, detached, one kernel or matrix a group; they share memory with the model."""
    return list(matrix_of(model.get_submodule(layer.name)).detach().chunk(layer.groups))


def batch_norm_of(model: nn.Module, layer: Layer) -> BatchNorm | None:
    """Scale and shift, each (c_out,), of the batch norm that follows the layer; None where none does."""
    if layer.follows.batch_norm is None:
        return None
    module = model.get_submodule(layer.follows.batch_norm)
    like = matrix_of(model.get_submodule(layer.name)).detach()
    gamma = like.new_ones(len(like)) if module.weight is None else module.weight.detach()
    beta = like.new_zeros(len(like)) if module.bias is None else module.bias.detach()
    return BatchNorm(gamma, beta)


def batch_norms_of(model: nn.Module, layer: Layer) -> list[BatchNorm | None]:
    """The parts of the batch norm that follows the layer, one a group; None for each where none follows."""
    whole = batch_norm_of(model, layer)
    if whole is None:
        return [None] * layer.groups
    return [BatchNorm(*part) for part in zip(*(both.chunk(layer.groups) for both in whole), strict=True)]


def layers_table(model: nn.Module, example_input=None, *, heads: bool = False):
    """The layers as a pandas DataFrame, one row a layer; with `heads` also one a product of an attention head.

    A head's rows follow the layers of its attention, under the names of `lr.heads`. Its shape is its dimensions x those
    of its inputs, its MFLOP are those of its part of the projections. Beside heads that can be factorized their
    projections are not to be: a plan has either.

    Columns: name, kind, shape (m x n of one group's channel matrix), kernel, groups, parameters, MFLOP
    (million multiply-adds of one sample), follows, break_even_rank, factorizable, reason.
    `attrs["measured"]` says for what input the MFLOP hold, `attrs["other_MFLOP"]` what all else computes.

    >>> table = lr.layers(torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU()))
    >>> table[["name", "shape", "follows", "break_even_rank"]].values.tolist()
    [['0', '6 x 8', 'ReLU', 3]]
    """
    import pandas as pd  # slow to import, and only tables need it

    layers = find_layers(model, example_input)
    if heads:
        from lrexplore.network.attention.head_layers import with_heads  # which builds on this file

        layers = with_heads(model, layers)
    rows = [_row(layer) for layer in layers]
    columns = (
        "name", "kind", "shape", "kernel", "groups", "parameters", "MFLOP", "follows", "break_even_rank",
        "factorizable", "reason",
    )  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    table.attrs["measured"] = layers[0].measured if layers else ""
    table.attrs["other_MFLOP"] = None if layers.other_flops is None else layers.other_flops / 1e6
    return table


def _row(layer: Layer) -> tuple:
    has_matrix = layer.kind in ("linear", "conv", "QK", "OV")
    return (
        layer.name,
        layer.kind,
        _by(layer.matrix_shape() if has_matrix else layer.weight_shape),
        _by(layer.kernel_size),
        layer.groups,
        layer.num_parameters,
        None if layer.flops is None else layer.flops / 1e6,
        layer.follows.text,
        layer.break_even_rank() if has_matrix else 0,
        layer.skip_reason is None,
        layer.skip_reason or "",
    )


def _by(sizes) -> str:
    return " x ".join(map(str, sizes))


def factorized_parameters(layer: Layer, rank: int, scheme: str = "channel") -> int:
    """Numbers in the factors of all groups and the bias, at `rank` a group."""
    return layer.parameters_at(rank, scheme)


def tensor_parameters(layer: Layer, form: str, ranks: Sequence[int]) -> int:
    """Numbers in the factors of all groups and the bias, in a form other than factor pairs."""
    count = tensor_form(form, layer.group_shape).count(layer.group_shape, ranks)
    return layer.groups * count + (layer.weight_shape[0] if layer.bias else 0)


def tensor_flops(layer: Layer, form: str, ranks: Sequence[int]) -> int | None:
    """Multiply-adds of one sample in the chain of convolutions; None where `layer.flops` is."""
    if layer.calls is None:
        return None
    kind, flops = tensor_form(form, layer.group_shape), 0
    for call in layer.calls:
        (height, width), (rows, columns) = call.input_size, call.output_size
        pixels = {"input": height * width, "rows": rows * width, "output": rows * columns}
        shapes = zip(kind.positions, kind.shapes(layer.group_shape, ranks), strict=True)
        flops += layer.groups * sum(pixels[position] * prod(shape) for position, shape in shapes)
    return flops


def factorized_flops(layer: Layer, rank: int, scheme: str = "channel") -> int | None:
    """Multiply-adds of one sample in both halves of the factorized layer; None where `layer.flops` is."""
    return layer.flops_at(rank, scheme)
