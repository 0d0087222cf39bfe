"""Expectations of a piecewise linear, or quadratic, activation of one Gaussian number, all in closed form.

Around the mean c of the number, s is a polynomial plus one-sided powers (+-(u - p))^d / d!, d = 0, 1, 2, one at each
break p, that point away from c: what is far out then loses no digits to what is near.
"""

from math import pi, sqrt

import torch
from torch import Tensor

from lrexplore.dual.activations import Activation


def density(x: Tensor) -> Tensor:
    """That of a standard normal."""
    return torch.exp(-(x**2) / 2) / sqrt(2 * pi)


def _tails(away: Tensor, top: int) -> list[Tensor]:
    """E (z - away)_+^d / d! of a standard normal z, d = 0..top, to all digits also far out; `away` >= 0."""
    tail = torch.erfc(away / sqrt(2)) / 2
    tails = [tail, density(away) - away * tail]
    for d in range(2, top + 1):
        tails.append((tails[-2] - away * tails[-1]) / d)
    far = away > 3
    if bool(far.any()):
        # d m_d = m_{d-2} - away m_{d-1} backwards, as a continued fraction of the ratios m_d / m_{d-1}
        ratio, last = torch.zeros_like(away), density(away)
        ratios = [ratio := 1 / (away + (d + 1) * ratio) for d in range(30, -1, -1)]
        for d in range(top + 1):
            last = last * ratios[-1 - d]
            tails[d] = torch.where(far, last, tails[d])
    return tails


class Side:
    """One of the two factors, in units of its spread: where its breaks are, and expectations of its derivatives."""

    def __init__(self, activation: Activation, scale: Tensor, shift: Tensor):
        breaks = torch.tensor(activation.breaks, dtype=torch.float64, device=scale.device)
        pieces = torch.tensor(activation.pieces, dtype=torch.float64, device=scale.device)
        c, b, a = pieces[torch.bucketize(shift.contiguous(), breaks)].unbind(-1)
        slope, bend = b + 2 * a * shift, 2 * a
        # E of the polynomial around the shift and of its derivatives, times powers of the scale
        self.smooth = [c + b * shift + a * (shift**2 + scale**2), slope * scale, bend * scale**2]
        self.at: list[Tensor] = []
        self.sign: list[Tensor] = []
        self.weights: list[dict[int, Tensor]] = []  # power -> its weight, times that power of the scale
        self.moments: list[list[Tensor]] = []
        for position, jumps in zip(activation.breaks, activation.jumps, strict=True):
            at = (position - shift) / scale
            sign = torch.where(position >= shift, 1.0, -1.0).to(at)
            away = sign * at
            height = density(at)
            # E of the one-sided powers -2 (the derivative of a delta function) to 2
            moments = [away * height, height, *_tails(away, 2)]
            powers = [sign, scale, sign * scale**2]
            weights = {d: jumps[d] * powers[d] for d in range(3) if jumps[d]}
            self.at.append(at)
            self.sign.append(sign)
            self.weights.append(weights)
            self.moments.append(moments)

    def derivatives(self, order: int) -> tuple[Tensor, Tensor]:
        """E of the i-th derivative of s times scale^i, and of it the part of powers below `order`."""
        whole, low = self.smooth[order], torch.zeros_like(self.smooth[order])
        for sign, weights, moments in zip(self.sign, self.weights, self.moments, strict=True):
            for d, weight in weights.items():
                term = weight * sign**order * moments[2 + d - order]
                whole = whole + term
                low = low + term if d < order else low
        return whole, low


def gaussian_mean(activation: Activation, scale: Tensor, shift: Tensor) -> Tensor:
    """E s(scale z + shift), closed form; `scale` > 0."""
    return Side(activation, scale, shift).derivatives(0)[0]


def gaussian_slope(activation: Activation, scale: Tensor, shift: Tensor) -> Tensor:
    """E s'(scale z + shift), closed form; `scale` > 0."""
    return Side(activation, scale, shift).derivatives(1)[0] / scale


def gaussian_square(activation: Activation, scale: Tensor, shift: Tensor) -> Tensor:
    """E s(scale z + shift)^2, closed form: s^2 is of one-sided powers up to the fourth; `scale` > 0."""
    breaks = torch.tensor(activation.breaks, dtype=torch.float64, device=scale.device)
    pieces = torch.tensor(activation.pieces, dtype=torch.float64, device=scale.device)
    c, b, a = pieces[torch.bucketize(shift.contiguous(), breaks)].unbind(-1)
    # s as c + b z + a z^2 in units of the spread; E z^4 = 3
    c, b, a = c + b * shift + a * shift**2, (b + 2 * a * shift) * scale, a * scale**2
    total = c**2 + b**2 + 2 * a * c + 3 * a**2
    for position, before, after in zip(activation.breaks, activation.pieces, activation.pieces[1:], strict=False):
        rises = [x - y for x, y in zip(_squared_at(after, position), _squared_at(before, position), strict=True)]
        at = (position - shift) / scale
        sign = torch.where(position >= shift, 1.0, -1.0).to(at)
        away = sign * at
        for d, (rise, moment) in enumerate(zip(rises, _tails(away, 4), strict=True)):
            if rise:
                total = total + rise * scale**d * moment * (sign if d % 2 == 0 else 1.0)
    return total


def _squared_at(piece: tuple[float, float, float], position: float) -> list[float]:
    """The square of a piece and its derivatives at a position."""
    c, b, a = piece
    c, b, a = c + b * position + a * position**2, b + 2 * a * position, a
    return [c**2, 2 * b * c, 2 * (b**2 + 2 * a * c), 12 * a * b, 24 * a**2]
