"""Moments of a layer's inputs, changed as little as possible so that its outputs have the moments that are known."""

import torch
from jaxtyping import Float64
from torch import Tensor

_RIDGE = 1e-2  # of the mean diagonal: what is known was measured elsewhere, by other arithmetic
_SMALLEST = 1e-2  # of the mean variance: below it neurons count alike
_FLOOR = 1e-3  # of the mean eigenvalue


def nearest_covariance(
    covariance: Float64[Tensor, "n n"],
    parts: Float64[Tensor, "q m n"],
    shares: Float64[Tensor, " q"],
    variance: Float64[Tensor, " m"],
) -> Float64[Tensor, "n n"]:
    """The C nearest to `covariance` for which neuron i has sum over q of share_q w_qi^T C w_qi = variance_i.

    Least |P^-1/2 (C - P) P^-1/2|_F with P the covariance given: C = P + sum over i of l_i P A_i P, A_i = sum over q of
    share_q w_qi w_qi^T, where l solves (tr A_i P A_j P)_ij l = what is missing, each neuron in units of its variance,
    with a small ridge. Eigenvalues below a thousandth of the mean one are then raised to it.
    """
    seen = parts @ covariance
    now = torch.einsum("q,qmn,qmn->m", shares, seen, parts)
    gram = torch.zeros(len(now), len(now), dtype=torch.float64)
    for share, half in zip(shares, seen, strict=True):
        for other, part in zip(shares, parts, strict=True):
            gram += share * other * (half @ part.mT).square()
    unit = 1 / variance.clamp_min(_SMALLEST * float(variance.mean()))
    weights = _solved(gram * torch.outer(unit, unit), (variance - now) * unit) * unit
    change = torch.einsum("q,qma,m,qmb->ab", shares, seen, weights, seen)
    values, vectors = torch.linalg.eigh(covariance + change)
    return (vectors * values.clamp_min(_FLOOR * float(values.mean().clamp_min(1e-30)))) @ vectors.mT


def nearest_mean(
    mean: Float64[Tensor, " n"],
    covariance: Float64[Tensor, "n n"],
    weight: Float64[Tensor, "m n"],
    wanted: Float64[Tensor, " m"],
) -> Float64[Tensor, " n"]:
    """The mean nearest to `mean`, in the metric of the covariance, for which `weight` @ mean is `wanted`."""
    seen = weight @ covariance
    return mean + seen.mT @ _solved(seen @ weight.mT, wanted - weight @ mean)


def _solved(gram: Tensor, missing: Tensor) -> Tensor:
    level = float(gram.diagonal().mean())
    if not level > 0:
        return torch.zeros_like(missing)
    ridged = gram.clone()
    ridged.diagonal().add_(_RIDGE * level)
    return torch.linalg.solve(ridged, missing)
