"""The activations of PyTorch and timm that are functions of one number."""

from collections.abc import Callable
from math import exp, inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.dual.activations import ACTIVATIONS, Activation

_SAME = {
    "leaky_relu(0)": "relu",
    "leaky_relu(1)": "identity",
    "hardtanh(0, 6)": "relu6",
    "hardtanh(0, inf)": "relu",
    "hardtanh(-inf, inf)": "identity",
}
"""Other ways to name an activation -> its own name."""


Parts = tuple[Callable[[Tensor], Tensor], tuple[float, ...], int | None]


def _family(
    name: str, text: str, make: Callable[..., Parts], parameters: dict[str, float], **options: Any
) -> Activation:
    """The record of an activation with parameters at their defaults; its `at` gives those of other values.

    `make(*values)` gives function, breaks and degree.
    """
    defaults = tuple(parameters.values())

    def rebuild(*values: float) -> Activation:
        if len(values) > len(defaults):
            raise ValueError(
                f"`{name}` must have at most {len(defaults)} parameters, got {values}. Leave out the others."
            )
        values = tuple(float(value) for value in values) + defaults[len(values) :]
        function, breaks, degree = make(*values)
        shown = list(values)
        while shown and shown[-1] == defaults[len(shown) - 1]:
            shown.pop()
        inner = f"({', '.join(_number(value) for value in shown)})" if shown else ""
        if name + inner in _SAME:
            return ACTIVATIONS[_SAME[name + inner]]
        breaks = tuple(at for at in breaks if abs(at) < inf)
        pairs = tuple(zip(parameters, values, strict=True))
        written = text + (f"({', '.join(f'{value:g}' for value in shown)})" if shown else "")
        return Activation(name + inner, function, written, breaks, degree, pairs, rebuild=rebuild, **options)

    return rebuild(*defaults)


def _number(value: float) -> str:
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _leaky_relu(slope: float) -> Parts:
    return lambda u: F.leaky_relu(u, slope), (0.0,), 1


def _hardtanh(low: float, high: float) -> Parts:
    return lambda u: u.clamp(low, high), (low, high), 1


def _elu(alpha: float) -> Parts:
    return lambda u: F.elu(u, alpha), (0.0,), None


def _celu(alpha: float) -> Parts:
    return lambda u: F.celu(u, alpha), (0.0,), None


def _softplus(beta: float, threshold: float) -> Parts:
    # Above the threshold it is the identity: a jump that matters only where a person set it low.
    return lambda u: F.softplus(u, beta, threshold), (threshold / beta,) if exp(-threshold) > 1e-8 else (), None


def _hardshrink(size: float) -> Parts:
    return lambda u: F.hardshrink(u, size), (-size, size), 1


def _softshrink(size: float) -> Parts:
    return lambda u: F.softshrink(u, size), (-size, size), 1


def _threshold(at: float, value: float) -> Parts:
    return lambda u: F.threshold(u, at, value), (at,), 1


RECORDS = (
    Activation("identity", lambda u: u, "nothing", degree=1),
    Activation("relu", F.relu, "ReLU", (0.0,), 1, modules=(nn.ReLU,), functions=("relu",), source="Nair & Hinton 2010"),
    _family(
        "leaky_relu", "LeakyReLU", _leaky_relu, {"negative_slope": 0.01},
        modules=(nn.LeakyReLU,), functions=("leaky_relu",), source="Maas, Hannun & Ng 2013",
    ),
    Activation(
        "relu6", F.relu6, "ReLU6", (0.0, 6.0), 1,
        modules=(nn.ReLU6,), functions=("relu6",), source="Krizhevsky 2010",
    ),
    Activation(
        "silu", F.silu, "SiLU",
        modules=(nn.SiLU, "timm.Swish", "timm.SwishMe"), functions=("silu",),
        source="Elfwing, Uchibe & Doya 2018, arXiv:1702.03118",
    ),
    Activation(
        "gelu", F.gelu, "GELU",
        modules=(nn.GELU, "timm.GELU"), functions=("gelu",), source="Hendrycks & Gimpel 2016, arXiv:1606.08415",
    ),
    Activation(
        "hardswish", F.hardswish, "Hardswish", (-3.0, 3.0), 2,
        modules=(nn.Hardswish, "timm.HardSwish", "timm.HardSwishMe"), functions=("hardswish",),
        source="Howard et al. 2019, arXiv:1905.02244",
    ),
    Activation("tanh", torch.tanh, "tanh", modules=(nn.Tanh, "timm.Tanh"), functions=("tanh",)),
    Activation("sigmoid", torch.sigmoid, "sigmoid", modules=(nn.Sigmoid, "timm.Sigmoid"), functions=("sigmoid",)),
    Activation(
        "gelu_tanh", lambda u: F.gelu(u, approximate="tanh"), "GELU(tanh)",
        modules=("timm.GELUTanh",), source="Hendrycks & Gimpel 2016, arXiv:1606.08415",
    ),
    Activation(
        "quick_gelu", lambda u: u * torch.sigmoid(1.702 * u), "QuickGELU",
        modules=("timm.QuickGELU",), source="Hendrycks & Gimpel 2016, arXiv:1606.08415",
    ),
    Activation(
        "mish", F.mish, "Mish",
        modules=(nn.Mish, "timm.Mish", "timm.MishMe"), functions=("mish",), source="Misra 2019, arXiv:1908.08681",
    ),
    _family(
        "elu", "ELU", _elu, {"alpha": 1.0},
        modules=(nn.ELU,), functions=("elu",), source="Clevert, Unterthiner & Hochreiter 2015, arXiv:1511.07289",
    ),
    _family(
        "celu", "CELU", _celu, {"alpha": 1.0},
        modules=(nn.CELU,), functions=("celu",), source="Barron 2017, arXiv:1704.07483",
    ),
    Activation(
        "selu", F.selu, "SELU", (0.0,),
        modules=(nn.SELU,), functions=("selu",), source="Klambauer et al. 2017, arXiv:1706.02515",
    ),
    _family(
        "softplus", "Softplus", _softplus, {"beta": 1.0, "threshold": 20.0},
        modules=(nn.Softplus,), functions=("softplus",), source="Dugas et al. 2001",
    ),
    Activation("logsigmoid", F.logsigmoid, "LogSigmoid", modules=(nn.LogSigmoid,), functions=("logsigmoid",)),
    Activation(
        "softsign", F.softsign, "Softsign", (0.0,),
        modules=(nn.Softsign,), functions=("softsign",), source="Glorot & Bengio 2010",
    ),
    Activation("tanhshrink", F.tanhshrink, "Tanhshrink", modules=(nn.Tanhshrink,), functions=("tanhshrink",)),
    Activation(
        "hardsigmoid", F.hardsigmoid, "Hardsigmoid", (-3.0, 3.0), 1,
        modules=(nn.Hardsigmoid, "timm.HardSigmoid", "timm.HardSigmoidMe"), functions=("hardsigmoid",),
        source="Courbariaux, Bengio & David 2015, arXiv:1511.00363",
    ),
    _family(
        "hardtanh", "Hardtanh", _hardtanh, {"min_val": -1.0, "max_val": 1.0},
        modules=(nn.Hardtanh,), functions=("hardtanh",), source="Collobert 2004",
    ),
    Activation(
        "hard_mish", lambda u: 0.5 * u * (u + 2).clamp(0, 2), "HardMish", (-2.0, 0.0), 2,
        modules=("timm.HardMish", "timm.HardMishMe"), source="Misra 2019, arXiv:1908.08681",
    ),
    _family(
        "hardshrink", "Hardshrink", _hardshrink, {"lambd": 0.5},
        modules=(nn.Hardshrink,), functions=("hardshrink",), source="Donoho & Johnstone 1994",
    ),
    _family(
        "softshrink", "Softshrink", _softshrink, {"lambd": 0.5},
        modules=(nn.Softshrink,), functions=("softshrink",), source="Donoho & Johnstone 1994",
    ),
    _family(
        "threshold", "Threshold", _threshold, {"threshold": 0.0, "value": 0.0},
        modules=(nn.Threshold,), functions=("threshold",),
    ),
)  # fmt: skip
