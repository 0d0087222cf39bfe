"""What the operations of a traced graph mean for the layer before them.

An operation is known by its name in lower case without underscores, so that `nn.LeakyReLU`, `F.leaky_relu`
and the method `leaky_relu_` are one entry.
"""

from torch import nn

ACTIVATIONS = {
    "relu": ("relu", "ReLU"),
    "relu6": ("relu6", "ReLU6"),
    "leakyrelu": ("leaky_relu", "LeakyReLU"),
    "silu": ("silu", "SiLU"),
    "swish": ("silu", "SiLU"),
    "gelu": ("gelu", "GELU"),
    "gelutanh": ("gelu", "GELU"),
    "quickgelu": ("gelu", "GELU"),
    "hardswish": ("hardswish", "Hardswish"),
    "tanh": ("tanh", "tanh"),
    "sigmoid": ("sigmoid", "sigmoid"),
}
"""Operation -> the activation's name in `lrexplore.dual`, and how it is written."""

NEAREST = {
    "hardsigmoid": ("sigmoid", "Hardsigmoid"),
    "hardtanh": ("tanh", "Hardtanh"),
    "mish": ("silu", "Mish"),
    "hardmish": ("silu", "Hardmish"),
    "elu": ("relu", "ELU"),
    "celu": ("relu", "CELU"),
    "selu": ("relu", "SELU"),
    "softplus": ("relu", "Softplus"),
    "prelu": ("leaky_relu", "PReLU"),
    "rrelu": ("leaky_relu", "RReLU"),
    "softsign": ("tanh", "Softsign"),
}
"""Activations without a dual of their own -> the nearest one that has."""

TRANSPARENT = {
    "identity", "dropout", "dropout1d", "dropout2d", "alphadropout", "featuredropout", "dropblock2d",
    "stochasticdepth", "droppath", "flatten", "unflatten", "view", "reshape", "permute", "transpose", "t",
    "squeeze", "unsqueeze", "contiguous", "clone", "to", "type", "typeas", "float", "half", "bfloat16",
    "movedim", "swapaxes", "reshapeas", "viewas",
}  # fmt: skip
"""Operations that neither change nor mix values (in evaluation mode): what follows them follows the layer."""

STOPS = {
    name: words
    for words, names in {
        "add": "add iadd",
        "subtract": "sub",
        "multiply": "mul imul",
        "matrix product": "matmul",
        "concatenation": "cat concat concatenate stack",
        "max pool": "maxpool2d maxpool1d adaptivemaxpool2d",
        "average pool": "avgpool2d avgpool1d adaptiveavgpool2d adaptiveavgpool1d mean",
        "layer norm": "layernorm layernorm2d",
        "group norm": "groupnorm",
        "instance norm": "instancenorm2d",
        "batch norm": "batchnorm",
        "softmax": "softmax logsoftmax",
        "slice": "getitem",
        "split": "chunk split",
        "attention": "scaleddotproductattention multiheadattention",
    }.items()
    for name in names.split()
}
"""Operations before which the layer is linear, in words. Any other operation is given by its own name."""

SHAPE_QUERIES = {"shape", "size", "dim", "ndim", "numel", "device", "dtype", "is_cuda", "requires_grad"}

LIKE = {"reshapeas", "viewas", "typeas", "expandas"}
"""Operations that take the shape or type of their second argument, and no value of it."""


def operation(target) -> str:
    """The name of a module (by its class), a function or a method."""
    name = type(target).__name__ if isinstance(target, nn.Module) else target
    if not isinstance(name, str):
        name = getattr(target, "__name__", type(target).__name__)
    return name.lower().replace("_", "")


def activation_of(target, arguments: dict) -> tuple[str, str, str] | None:
    """(name in `lrexplore.dual`, how it is written, assumption or "") of an activation; None for the rest.

    `arguments` are those of the call by name; a module brings its own.
    """
    name = operation(target)

    def option(key, default):
        return getattr(target, key, default) if isinstance(target, nn.Module) else arguments.get(key, default)

    if name == "hardtanh" and (option("min_val", -1.0), option("max_val", 1.0)) == (0.0, 6.0):
        return "relu6", "ReLU6", ""
    if name == "leakyrelu" and option("negative_slope", 0.01) != 0.01:
        slope = option("negative_slope", 0.01)
        return "leaky_relu", f"LeakyReLU({slope:g})", f"its slope {slope:g} is taken as 0.01"
    if name in ACTIVATIONS:
        return *ACTIVATIONS[name], ""
    if name in NEAREST:
        nearest, text = NEAREST[name]
        return nearest, text, f"{text} is taken as {nearest}"
    return None
