"""E s(a z + c) s(b z' + c) for any activation: each way where it is right."""

from math import inf
from numbers import Real
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from lrexplore.dual import hermite, piecewise_linear, smoothed
from lrexplore.dual.activations import FARTHEST, Activation
from lrexplore.dual.panels import width_of
from lrexplore.linalg.finite import check_finite

# What a series may miss of sqrt(E s^2 E s'^2) before the pair is taken by the rule for nearly equal z and z'.
_MISSED = 1e-9
# Up to here, in units of a pre-activation, the work stays within seconds; it grows with the spread's logarithm.
MOST = 10 * FARTHEST
# Deviations of a pre-activation that count.
_DEVIATIONS = 8.5


class Expansion(NamedTuple):
    """Neurons before a curved activation: spreads, shifts, Hermite `series` of s, E s^2 and what is `missing` of it."""

    scale: Float64[Tensor, " neurons"]
    shift: Float64[Tensor, " neurons"]
    series: Float64[Tensor, "neurons terms"]
    square: Float64[Tensor, " neurons"]
    missing: Float64[Tensor, " neurons"]

    @classmethod
    def of(
        cls, activation: Activation, scale: Float64[Tensor, " neurons"], shift: Float64[Tensor, " neurons"]
    ) -> "Expansion":
        """The expansion of s(scale z + shift)."""
        series, square = hermite.coefficients(activation, scale, shift)
        return cls(scale, shift, series, square, (square - series.square().sum(1)).clamp_min(0))


def correlate_series(
    activation: Activation, rho: Float64[Tensor, "neurons points"], first: Expansion, second: Expansion
) -> Float64[Tensor, "neurons points"]:
    """E s s' for neurons expanded in `first` and, beside it, in `second`; both may be of one for all."""
    missing = (first.missing * second.missing).sqrt()
    value, _ = hermite.series(rho, first.series, second.series, missing)
    small = _MISSED * (first.square * second.square).sqrt()
    # Where nothing bends within reach the series misses nothing but rounding.
    bent = _bends(activation, torch.maximum(first.scale, second.scale), first.shift)
    poor = (missing[:, None] * rho.abs() ** hermite.NUM_TERMS > small[:, None]) & bent[:, None]
    if bool(poor.any()):
        parts = (x[:, None].expand_as(rho)[poor] for x in (first.scale, second.scale, first.shift))
        value = value.masked_scatter(poor, smoothed.near(activation, rho[poor], *parts))
    return value


def _bends(activation: Activation, scale: Tensor, shift: Tensor) -> Tensor:
    """Whether s bends within some deviations of the shift, (neurons,)."""
    bends = scale > width_of(activation)
    for at in activation.breaks:
        bends = bends | ((at - shift).abs() < 6 * scale)
    return bends


def correlate(activation: Activation, rho: Tensor | float, first: float, second: float, shift: float) -> Tensor:
    """E s(first z + shift) s(second z' + shift), corr(z, z') = rho, in the shape of `rho`; float64."""
    given = _cosines(rho)
    for name, value, low in (("first", first, 0.0), ("second", second, 0.0), ("shift", shift, -inf)):
        if not isinstance(value, Real) or not low <= value < inf or value == -inf:
            raise ValueError(f"`{name}` must be a finite number{' >= 0' if low == 0 else ''}, got {value!r}. Use 1.0.")
    at = given.reshape(1, -1)
    a, b, c = (torch.full((1,), float(x), dtype=torch.float64, device=at.device) for x in (first, second, shift))
    check_reach(activation, "first" if first >= second else "second", float(max(first, second)), abs(shift))
    if activation.degree is not None:
        return piecewise_linear.correlation(activation, at, a, b, c)[0].view(given.shape)
    sides = [Expansion.of(activation, x, c) for x in (a, b)]
    return correlate_series(activation, at, *sides).view(given.shape)


def _cosines(rho: Tensor | float) -> Tensor:
    """Cosines as float64. Raises TypeError for what holds no numbers, ValueError for numbers outside [-1, 1]."""
    if not isinstance(rho, Tensor) and (not isinstance(rho, Real) or isinstance(rho, bool)):
        raise TypeError(f"`rho` must be a number or a tensor of them, got {rho!r}. Convert it with `torch.as_tensor`.")
    if isinstance(rho, Tensor) and rho.numel():
        check_finite(rho, "rho")
    given = torch.as_tensor(rho if isinstance(rho, Tensor) else float(rho), dtype=torch.float64)
    if not bool((given.abs() <= 1 + 1e-9).all()):
        raise ValueError(f"`rho` must lie in [-1, 1], got {float(given.abs().max()):g}. Clamp it where it was rounded.")
    return given.clamp(-1, 1)


def finest_angle(activation: Activation, scale: float) -> float | None:
    """The angle within which a dual turns at spreads up to `scale`; None where that needs no finer nodes."""
    width = width_of(activation)
    return None if scale <= 20 * width else width / scale


def check_reach(activation: Activation, what: str, scale: float, shift: float = 0.0, *, most: float = inf) -> None:
    """Raises ValueError for pre-activations further out than the activation is known; `what` names their cause."""
    farthest = _DEVIATIONS * scale + shift
    if farthest > most:
        raise ValueError(
            f"`{what}` must lead to pre-activations within +-{most:g} for {activation.name!r}, got up to "
            f"+-{farthest:g}. Scale it down: so far out the activation is one of straight lines."
        )
    if farthest > activation.reach:
        raise ValueError(
            f"`{what}` must lead to pre-activations within +-{activation.reach:g} for {activation.name!r}, which bends "
            f"too often further out, got up to +-{farthest:g}. Scale it down, or take an activation that ends straight."
        )
