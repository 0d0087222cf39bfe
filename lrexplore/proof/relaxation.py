"""A concave function on the Fantope that lies above the energy kept by every subspace, and its largest value.

The function is H of the module `certificate`: parabolas of given curvatures above the gains, and a multiplier of
P = P^2 that makes their sum concave.
"""

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from lrexplore.proof.fantope import largest_inner_product, project
from lrexplore.proof.multiplier import Multiplier, bound_norm, cap_curvature, curvature_kernel, eigengap_multiplier
from lrexplore.proof.unit_neurons import Frame


class Tangent(NamedTuple):
    """H at a point and its linearization there: H(P) <= `constant` + <`gradient`, P> on the whole Fantope."""

    point: Float64[Tensor, "k k"]
    value: float
    constant: float
    gradient: Float64[Tensor, "k k"]


class Relaxation:
    """H for subspaces of dimension `rank`, with majorants that touch the gains at `point` where they can.

    `point` is a projection or any other point of the Fantope. `norm`: curvatures are capped until Lambda needs
    no more than this share of the distances of the eigenvalues from the boundary; below 1, the top eigenvectors at
    `point` stay the best choice. `crowd`: see `eigengap_multiplier`; a larger one admits more curvature, and pays
    where eigenvalues crowd at the boundary.
    """

    def __init__(self, frame: Frame, rank: int, point: Float64[Tensor, "k k"], norm: float, crowd: int):
        self._frame, self._rank = frame, rank
        squares = frame.squared_cosines(point)
        gradient = frame.combine(frame.majorants.slope(squares))
        shape = eigengap_multiplier(gradient, rank, crowd)
        kernel = curvature_kernel(shape, frame.rows, frame.num_rows)
        wanted = frame.majorants.touching_curvature(squares)
        # Where eigenvalues coincide at the boundary there is no multiplier: zero and no curvature is valid then.
        usable = all(bool(torch.isfinite(x).all()) for x in (kernel, wanted, shape.values))
        self._curvature = cap_curvature(kernel, wanted, norm) if usable else torch.zeros_like(wanted)
        values = shape.values * bound_norm(kernel, self._curvature) if usable else torch.zeros_like(shape.values)
        shape = Multiplier(shape.basis, values)
        self._lambda = shape.matrix()
        self._largest = float(shape.values.max())
        self._slope: Tensor | None = None

    def tangent(self, point: Float64[Tensor, "k k"]) -> Tangent:
        """The linearization of H at any symmetric `point` with trace r, each parabola lowest there."""
        majorants, b = self._frame.majorants, self._curvature
        t = self._frame.squared_cosines(point)
        self._slope = slope = majorants.best_slope(t, b, self._slope)
        offset = majorants.offset(slope, b)
        turned = self._lambda @ point
        gradient = self._frame.combine(slope + b * t) + self._lambda - turned - turned.mT
        constant = float((offset - b * t**2 / 2).sum() + (turned * point).sum()) + self._frame.fixed
        return Tangent(point, constant + float((gradient * point).sum()), constant, gradient)

    def bound(self, tangent: Tangent) -> float:
        """A number that F exceeds at no projection of rank r: the linearization at its largest, rounded up."""
        rounding = 1e-12 * (1 + self._largest) * self._frame.dimension
        return tangent.constant + largest_inner_product(tangent.gradient, self._rank) + rounding

    def ascend(self, point: Float64[Tensor, "k k"]) -> Iterator[tuple[float, Tensor]]:
        """Bounds and where they were taken, one every third accelerated projected gradient step on H.

        Source: Beck & Teboulle 2009.
        """
        here = self.tangent(point)
        yield self.bound(here), point
        values = torch.linalg.eigvalsh(here.gradient)
        step = min(1 / (2 * self._largest + 1e-300), 2 / (float(values[-1] - values[0]) + 1e-300))
        last, momentum, count = point, 1.0, 0
        while True:
            while True:
                there = self.tangent(project(here.point + step * here.gradient, self._rank))
                move = there.point - here.point
                quadratic = float((here.gradient * move).sum()) - float(move.square().sum()) / (2 * step)
                if there.value >= here.value + quadratic - 1e-12 or step < 1e-12:
                    break
                step /= 2.5
            step *= 1.2
            onward = (1 + sqrt(1 + 4 * momentum**2)) / 2
            if float((here.gradient * (there.point - last)).sum()) < 0:
                onward = momentum = 1.0
            count += 1
            if count % 3 == 0:
                yield self.bound(there), there.point
            carried = (momentum - 1) / onward
            here = self.tangent(there.point + carried * (there.point - last)) if carried > 0 else there
            last, momentum = there.point, onward
