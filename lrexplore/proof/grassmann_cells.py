"""Cells that cover all subspaces of R^k of dimension r: a box each, a center and how far it reaches.

- Lines (r = 1) and hyperplanes (r = k - 1, by their normals): the half sphere, as the faces x_j = 1 of the cube.
- Planes of R^4: each is a pair (a, b) of points of S^2, (-a, -b) being the same plane, with projection
  P = (I + sum a_i b_j J_i K_j) / 2, where J_i and K_j are left and right multiplication by the quaternion units. Faces
  of one cube for a (half of them) and of another for b. tr(P P') = 1 + (a.a') (b.b'), and the angles between a, a' and
  b, b' are the sum and the difference of the two principal angles: the larger one is their mean.

A box on a face of a cube spans a convex cone; its corners lie within some angle below 90 degrees of the center, and
so does all of it.
"""

from itertools import product
from math import pi

import torch
from jaxtyping import Float64
from torch import Tensor

_QUATERNION_UNITS = ((0, 1), (2, 3)), ((0, 2), (3, 1)), ((0, 3), (1, 2))


class Cells:
    """Boxes `low`, `high`; a sphere takes k coordinates, or twice 3 for planes of R^4."""

    def __init__(
        self,
        rank: int,
        dimension: int,
        low: Float64[Tensor, "cells coordinates"],
        high: Float64[Tensor, "cells coordinates"],
    ):
        self._rank, self._dimension, self.low, self.high = rank, dimension, low, high

    @staticmethod
    def covers(rank: int, dimension: int) -> bool:
        """Whether subspaces of this dimension in R^`dimension` can be covered."""
        return rank in (1, dimension - 1) or (rank, dimension) == (2, 4)

    @classmethod
    def all(cls, rank: int, dimension: int) -> "Cells":
        """Cells that together cover every subspace."""
        if rank in (1, dimension - 1):
            faces = [_face(dimension, axis, 1.0) for axis in range(dimension)]
        else:
            signed = [_face(3, axis, sign) for axis, sign in product(range(3), (1.0, -1.0))]
            faces = [
                (a_low + b_low, a_high + b_high) for (a_low, a_high), (b_low, b_high) in product(signed[::2], signed)
            ]
        low, high = (torch.tensor(x, dtype=torch.float64) for x in zip(*faces, strict=True))
        return cls(rank, dimension, low, high)

    def __len__(self) -> int:
        return len(self.low)

    def pick(self, index: Tensor) -> "Cells":
        """The cells at these places."""
        return Cells(self._rank, self._dimension, self.low[index], self.high[index])

    def split(self) -> "Cells":
        """Twice as many cells: each halved across its longest edge, the halves `len` apart."""
        edge = (self.high - self.low).argmax(1, keepdim=True)
        middle = ((self.low + self.high) / 2).gather(1, edge)
        low, high = torch.cat([self.low, self.low]), torch.cat([self.high, self.high])
        high[: len(self)].scatter_(1, edge, middle)
        low[len(self) :].scatter_(1, edge, middle)
        return Cells(self._rank, self._dimension, low, high)

    def join(self, other: "Cells") -> "Cells":
        """These cells and others."""
        return Cells(self._rank, self._dimension, torch.cat([self.low, other.low]), torch.cat([self.high, other.high]))

    def axes(self) -> tuple[Float64[Tensor, "cells k"], Float64[Tensor, " cells"]]:
        """Of cells of lines, or of hyperplanes by their normals: the central unit vector and the largest angle from
        it."""
        return _cone(self.low, self.high)

    def reach(self) -> tuple[Float64[Tensor, "cells k k"], Float64[Tensor, " cells"], Float64[Tensor, " cells"]]:
        """Projection on the central subspace of each cell; the largest principal angle from it to a subspace of the
        cell; and the least tr(P P') between their projections."""
        if self._rank in (1, self._dimension - 1):
            center, angle = self.axes()
            line = center[:, :, None] * center[:, None, :]
            if self._rank == 1:
                return line, angle, torch.cos(angle) ** 2
            plane = torch.eye(self._dimension, dtype=line.dtype) - line
            return plane, angle, self._dimension - 2 + torch.cos(angle) ** 2
        (a, a_angle), (b, b_angle) = (_cone(self.low[:, part], self.high[:, part]) for part in _HALVES)
        turned = torch.einsum("ci,cj,ijxy->cxy", a, b, _plane_basis())
        projection = (torch.eye(4, dtype=a.dtype) + turned) / 2
        angle = ((a_angle + b_angle) / 2).clamp_max(pi / 2)
        cosine_a, cosine_b = torch.cos(a_angle), torch.cos(b_angle)
        # Over a.a' in [cos a, 1] and b.b' in [cos b, 1] the product is least at a corner.
        corners = torch.stack([cosine_a * cosine_b, cosine_a, cosine_b, torch.ones_like(cosine_a)])
        return projection, angle, 1 + corners.amin(0)


_HALVES = (slice(0, 3), slice(3, 6))


def _face(dimension: int, axis: int, sign: float) -> tuple[list[float], list[float]]:
    low, high = [-1.0] * dimension, [1.0] * dimension
    low[axis] = high[axis] = sign
    return low, high


def _cone(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vector through the middle of each box (cells, k), and the largest angle to a point of it, rounded up."""
    center = torch.nn.functional.normalize(low + high, dim=1)
    choices = torch.tensor(list(product((0.0, 1.0), repeat=low.shape[1])), dtype=low.dtype)
    # (cells, corners): inner products with the center, and norms, of all corners
    inner = (low * center).sum(1, keepdim=True) + ((high - low) * center) @ choices.mT
    squares = (low**2).sum(1, keepdim=True) + (high**2 - low**2) @ choices.mT
    least = (inner / squares.sqrt()).amin(1).clamp_max(1)
    return center, torch.arccos(least) + 1e-9


def _plane_basis() -> Tensor:
    """J_i K_j, (3, 3, 4, 4): symmetric, traceless, each of them its own inverse."""
    left, right = torch.zeros(3, 4, 4, dtype=torch.float64), torch.zeros(3, 4, 4, dtype=torch.float64)
    for unit, ((p, q), (x, y)) in enumerate(_QUATERNION_UNITS):
        for table, sign in ((left, 1.0), (right, -1.0)):
            table[unit, q, p], table[unit, p, q] = 1.0, -1.0
            table[unit, y, x], table[unit, x, y] = sign, -sign
    return torch.einsum("iab,jbc->ijac", left, right)
