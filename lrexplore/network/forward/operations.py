"""What the operations of a traced graph mean for the layer before them.

A module is known by its class and a function by being that function, whatever they are called in a model; what is
known of activations is in `lrexplore.dual`. Of any other operation the name in lower case without underscores counts.
"""

from math import inf

import torch
from torch import Tensor, fx, nn

from lrexplore.dual import ACTIVATIONS, RECORDS, Activation

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

_HOMES = (torch, Tensor, nn.functional, torch._C._nn, torch.special, getattr(torch._C, "_special", torch.special))
_OTHER_NAMES = {"log_sigmoid": "logsigmoid", "special_expit": "sigmoid"}
_CLAMPS = {"clamp": ("min", "max"), "clip": ("min", "max"), "clamp_min": ("min",), "clamp_max": ("max",)}
_MOST_PARTS = 8


def operation(target) -> str:
    """The name of a module (by its class), a function or a method."""
    name = type(target).__name__ if isinstance(target, nn.Module) else target
    if not isinstance(name, str):
        name = getattr(target, "__name__", type(target).__name__)
    return name.lower().replace("_", "")


def record_of_class(kind: type) -> Activation | None:
    """The activation that modules of a class compute; None for any other, and for one with a forward of its own."""
    for base in kind.__mro__:
        named = f"{base.__module__.partition('.')[0]}.{base.__name__}"
        for record in ACTIVATIONS.values():
            if base in record.modules or named in record.modules:
                return record if getattr(kind, "forward", None) is getattr(base, "forward", None) else None
    return None


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an activation as a whole."""
    return isinstance(module, (nn.PReLU, nn.RReLU)) or record_of_class(type(module)) is not None


def activation_of(target, args: tuple = (), kwargs: dict | None = None) -> tuple[str, str, str] | None:
    """(name in `lrexplore.dual`, how it is written, assumption or "") of an activation; None for the rest.

    `args` and `kwargs` are those of the call after its input; a module brings its own.
    """
    activation = _of_module(target) if isinstance(target, nn.Module) else _of_call(target, args, kwargs or {})
    return (activation.name, activation.text, "") if isinstance(activation, Activation) else activation


def _of_module(module: nn.Module):
    if isinstance(module, nn.PReLU):
        return _prelu(module.weight)
    if isinstance(module, nn.RReLU):
        return _renamed("RReLU", (module.lower + module.upper) / 2)
    record = record_of_class(type(module))
    if record is None or record.name == "identity":
        return None
    if getattr(module, "approximate", "none") == "tanh" and record.name == "gelu":
        return ACTIVATIONS["gelu_tanh"]
    values = [getattr(module, name, value) for name, value in record.parameters]
    return record.at(*values) if values else record


def _of_call(target, args: tuple, kwargs: dict):
    for record in ACTIVATIONS.values():
        if any(target is function for function in record.functions):
            break
    else:
        if not isinstance(target, str):
            name = getattr(target, "__name__", "")
            if not any(getattr(home, name, None) is target for home in _HOMES):
                return None
        name = (target if isinstance(target, str) else name).strip("_")
        name = _OTHER_NAMES.get(name, name)
        if name in _CLAMPS:
            low, high = (_options(_CLAMPS[name], args, kwargs).get(key) for key in ("min", "max"))
            low, high = -inf if low is None else low, inf if high is None else high
            return _at(ACTIVATIONS["hardtanh"], (low, high))
        if name == "prelu":
            return _prelu(None)
        if name == "rrelu":
            given = {"lower": 1 / 8, "upper": 1 / 3, **_options(("lower", "upper"), args, kwargs)}
            return _renamed("RReLU", (given["lower"] + given["upper"]) / 2)
        record = next((record for record in ACTIVATIONS.values() if name in record.functions), None)
        if record is None:
            return None
    if record.name == "gelu" and kwargs.get("approximate", "none") == "tanh":
        return ACTIVATIONS["gelu_tanh"]
    given = _options([name for name, _ in record.parameters], args, kwargs)
    return _at(record, [given.get(name, value) for name, value in record.parameters])


def _options(names, args: tuple, kwargs: dict) -> dict:
    """Arguments by name, given by place or by name."""
    return {**dict(zip(names, args, strict=False)), **{name: kwargs[name] for name in names if name in kwargs}}


def _at(record: Activation, values) -> Activation | None:
    """The record at parameters of a call; None where these are not plain numbers."""
    if not record.parameters:
        return record
    return record.at(*values) if all(isinstance(value, (int, float)) for value in values) else None


def _renamed(text: str, slope: float) -> tuple[str, str, str]:
    return ACTIVATIONS["leaky_relu"].at(slope).name, text, ""


def _prelu(weight: Tensor | None) -> tuple[str, str, str]:
    """PReLU by its slope where that is one number that is known."""
    if weight is None or weight.is_meta or not torch.isfinite(weight).all():
        return "leaky_relu", "PReLU", "PReLU is taken as leaky_relu"
    slope = _shortest(weight.detach().double().mean().to(weight.dtype))
    record = ACTIVATIONS["leaky_relu"].at(slope)
    count = weight.numel()
    return record.name, "PReLU", f"PReLU with {count} slopes is taken as {record.name}, their mean" if count > 1 else ""


def _shortest(value: Tensor) -> float:
    """The number as the fewest digits that give it back in its dtype."""
    for digits in range(1, 17):
        short = float(f"{float(value):.{digits}g}")
        if torch.tensor(short, dtype=value.dtype) == value.cpu():
            return short
    return float(value)


def composed_of(node: fx.Node, modules: dict, *, own: bool) -> tuple[str, str, str] | None:
    """The activation that the operations after a node make together, as `activation_of` gives it; None for none.

    They are computed on some numbers, and compared with what is known, or only with what a person registered (`own`).
    """
    left_out = {record.name for record in RECORDS} if own else {"identity"}
    records = [record for record in ACTIVATIONS.values() if record.name not in left_out]
    if not records:
        return None
    points = torch.linspace(-6.3, 7.1, 97, dtype=torch.float64)
    values, ahead = {node: points}, node.next
    for _ in range(_MOST_PARTS):
        while ahead.op != "root" and not any(given in values for given in ahead.all_input_nodes):
            ahead = ahead.next
        try:
            values[ahead] = _computed(ahead, values, modules)
            same_shape = values[ahead].shape == points.shape
        except Exception:  # whatever it is, it is no function of one number
            return None
        pending = [given for given in values if any(user not in values for user in given.users)]
        if len(pending) == 1 and pending[0] is ahead and same_shape:
            for record in records:
                if torch.allclose(record.function(points), values[ahead], rtol=1e-6, atol=1e-9):
                    return record.name, record.text, ""
        ahead = ahead.next
    return None


def _computed(node: fx.Node, values: dict, modules: dict) -> Tensor:
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda given: values[given].clone())
    if node.op == "call_module":
        return ACTIVATIONS[activation_of(modules[node.target])[0]].function(*args)
    function = node.target if node.op == "call_function" else getattr(type(args[0]), node.target)
    return function(*args, **kwargs)
