"""What the neurons of a layer lose, in expectation over x ~ N(0, I), when each is replaced by another.

Neuron w has norm |w|, its replacement y norm |y|, and rho is the cosine between them. What follows the matrix
decides the formula: an activation alone, or batch norm and an activation. Every method takes and returns float64
tensors with neurons first. Sources: Cho & Saul 2009; Vodrahalli et al. 2022, arXiv:2202.00834.
"""

from math import inf
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.parameter import is_lazy

from lrexplore.dual.activations import find_activation, homogeneous_correlation, homogeneous_correlation_slope
from lrexplore.dual.angle_table import wide
from lrexplore.dual.correlation import MOST, check_reach
from lrexplore.dual.normalized_response import NormalizedResponse
from lrexplore.dual.scaled_response import ScaledResponse


class BatchNorm(NamedTuple):
    """Scale `gamma` and shift `beta` of the batch norm that follows a layer.

    >>> weight = torch.eye(2)
    >>> follows = lr.BatchNorm(gamma=torch.ones(2), beta=torch.zeros(2))
    >>> factors = lr.initialize(weight, rank=1, initializer="spectral", batch_norm=follows)
    >>> lr.function_error(weight, factors, batch_norm=follows) > 0
    True
    """

    gamma: Float[Tensor, " c_out"]
    beta: Float[Tensor, " c_out"]


class Response(Protocol):
    """Expected losses of a layer's neurons. `rho` and `product` are (neurons, ...); `energy` is E s^2."""

    energy: Float64[Tensor, " neurons"]

    def loss(self, rho: Tensor, product: Tensor) -> Tensor:
        """E (s(w.x) - s(y.x))^2 a neuron, for a replacement of norm `product` at cosine `rho`."""

    def best_norm(self, rho: Tensor) -> Tensor:
        """The norm of the replacement that loses least at cosine `rho`."""

    def gain(self, rho: Tensor) -> Tensor:
        """energy - (least loss at cosine `rho`): convex and increasing in rho."""

    def gain_slope(self, rho: Tensor) -> Tensor:
        """Derivative of `gain` in rho."""


def respond(
    norms: Float[Tensor, " neurons"], activation: str = "relu", batch_norm: BatchNorm | None = None
) -> Response:
    """The response of neurons of the given norms to what follows them.

    Raises ValueError for an unknown activation, a batch norm of another width, or pre-activations past its reach.
    """
    record = find_activation(activation)
    norms = norms.double()
    if batch_norm is None:
        if record.leak is not None:
            return HomogeneousResponse(norms, record.leak)
        check_reach(record, "weight", float(norms.max()), most=MOST)
        return ScaledResponse(norms, record)
    check_batch_norm(batch_norm, len(norms))
    gamma, beta = (x.detach().to(norms) for x in batch_norm)
    most = inf if record.leak is not None else MOST
    check_reach(record, "batch_norm", float(gamma.abs().max()), float(beta.abs().max()), most=most)
    return NormalizedResponse(norms, record, gamma.abs(), beta)


def check_batch_norm(batch_norm: BatchNorm | None, num_neurons: int) -> BatchNorm | None:
    """The batch norm itself, when it fits a layer of so many neurons and is finite; an error otherwise."""
    if batch_norm is None:
        return None
    if not isinstance(batch_norm, tuple) or len(batch_norm) != 2 or not all(map(_is_plain, batch_norm)):
        raise TypeError(
            f"`batch_norm` must be (gamma, beta), got {_described(batch_norm)}. Pass two tensors, "
            "`lr.BatchNorm(gamma, beta)`; of a module these are its `weight` and `bias`."
        )
    gamma, beta = batch_norm
    if gamma.shape != (num_neurons,) or beta.shape != (num_neurons,):
        raise ValueError(
            f"`batch_norm` must be (gamma, beta), each ({num_neurons},) as the layer has neurons, got "
            f"{tuple(gamma.shape)} and {tuple(beta.shape)}. Pass the batch norm that follows this very layer."
        )
    bad = int((~torch.isfinite(gamma)).sum() + (~torch.isfinite(beta)).sum())
    if bad:
        raise ValueError(
            f"`batch_norm` must be finite, got {bad} NaN or infinite of {2 * num_neurons} entries. "
            "Repair or reload the weights first."
        )
    return batch_norm


def _is_plain(value: object) -> bool:
    """Whether it is a dense tensor of real numbers."""
    return (
        isinstance(value, Tensor)
        and not (value.is_nested or value.is_quantized or value.is_complex() or value.is_meta or is_lazy(value))
        and value.layout == torch.strided
    )


def _described(given: object) -> str:
    if not isinstance(given, tuple):
        return f"a {type(given).__name__}"
    return f"({', '.join(str(x.dtype) if isinstance(x, Tensor) else type(x).__name__ for x in given)})"


class HomogeneousResponse:
    """Identity, ReLU, leaky ReLU without batch norm: closed form, the best norm is |w| h(rho)."""

    def __init__(self, norms: Float64[Tensor, " neurons"], leak: float):
        self._norms, self._leak = norms, leak
        self._unit = (1 + leak**2) / 2
        self.energy = self._unit * norms**2

    def loss(self, rho: Tensor, product: Tensor) -> Tensor:
        norms = wide(self._norms, rho)
        shared = product * norms * self._correlation(rho)
        return self._unit * (norms**2 + product**2 - 2 * shared).clamp_min(0)

    def best_norm(self, rho: Tensor) -> Tensor:
        return wide(self._norms, rho) * self._correlation(rho).clamp_min(0)

    def gain(self, rho: Tensor) -> Tensor:
        return wide(self.energy, rho) * self._correlation(rho) ** 2

    def gain_slope(self, rho: Tensor) -> Tensor:
        slope = homogeneous_correlation_slope(rho, self._leak)
        return wide(self.energy, rho) * 2 * self._correlation(rho) * slope

    def _correlation(self, rho: Tensor) -> Tensor:
        return homogeneous_correlation(rho, self._leak)
