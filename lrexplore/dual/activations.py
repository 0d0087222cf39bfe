"""Activations, and the closed form of the dual activation where there is one.

The dual activation of s is k(rho) = E s(z) s(z') for standard normal z, z' with correlation rho.
For ReLU it is the arc-cosine kernel of order 1 (Cho & Saul 2009); by Mehler's formula it is a power series in rho
with coefficients >= 0 for every s, hence increasing and convex on [0, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def relu_correlation(rho: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """h(rho) = (sqrt(1 - rho^2) + rho (pi - arccos rho)) / pi: the ReLU dual over its value at 1; h(0) = 1/pi."""
    angle = torch.arccos(rho)
    return (torch.sin(angle) + rho * (pi - angle)) / pi


def relu_correlation_slope(rho: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """h'(rho) = 1 - arccos(rho) / pi."""
    return 1 - torch.arccos(rho) / pi


@dataclass(frozen=True)
class Activation:
    """An activation s with what the exact formulas need to know of it.

    `kinks`: for a piecewise linear s, where its slope jumps and by how much.
    `breaks`: where s or a derivative of it jumps, for quadrature that must not step over such a point.
    `leak`: s(u) = u for u > 0 and leak * u below, where s has that form (then it is positively homogeneous).
    """

    name: str
    function: Callable[[Tensor], Tensor]
    kinks: tuple[tuple[float, float], ...] | None = None
    breaks: tuple[float, ...] = ()
    leak: float | None = None


LEAKY_SLOPE = 0.01

ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("identity", lambda u: u, kinks=(), leak=1.0),
        Activation("relu", F.relu, kinks=((0.0, 1.0),), breaks=(0.0,), leak=0.0),
        Activation(
            "leaky_relu",
            lambda u: F.leaky_relu(u, LEAKY_SLOPE),
            kinks=((0.0, 1.0 - LEAKY_SLOPE),),
            breaks=(0.0,),
            leak=LEAKY_SLOPE,
        ),
        Activation("relu6", F.relu6, kinks=((0.0, 1.0), (6.0, -1.0)), breaks=(0.0, 6.0)),
        Activation("silu", F.silu),
        Activation("gelu", F.gelu),
        Activation("hardswish", F.hardswish, breaks=(-3.0, 3.0)),
        Activation("tanh", torch.tanh),
        Activation("sigmoid", torch.sigmoid),
    )
}


def find_activation(name: str) -> Activation:
    """The activation of that name. Raises ValueError with the names there are."""
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(f"`activation` must be one of {', '.join(ACTIVATIONS)}, got {name!r}. Choose one of them.")
    return ACTIVATIONS[name]


def homogeneous_correlation(rho: Tensor, leak: float) -> Tensor:
    """k(rho) / k(1) of the activation max(u, 0) + leak min(u, 0): ReLU for leak 0, the identity for leak 1."""
    return ((1 - leak) ** 2 * relu_correlation(rho) + 2 * leak * rho) / (1 + leak**2)


def homogeneous_correlation_slope(rho: Tensor, leak: float) -> Tensor:
    """Derivative of `homogeneous_correlation` in rho."""
    return ((1 - leak) ** 2 * relu_correlation_slope(rho) + 2 * leak) / (1 + leak**2)
