"""What is known of an activation, in one record, and the records by name.

The dual activation of s is k(rho) = E s(z) s(z') for standard normal z, z' with correlation rho.
For ReLU it is the arc-cosine kernel of order 1 (Cho & Saul 2009); by Mehler's formula it is a power series in rho
with coefficients >= 0 for every s, hence increasing and convex on [0, 1].
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import inf, pi

import torch
from jaxtyping import Float, Float64
from torch import Tensor

# Up to here, in units of a pre-activation, every activation is looked at: nine deviations of a spread of 1e4.
FARTHEST = 1e5


@dataclass(frozen=True)
class Activation:
    """An activation s with everything that is known of it; other places read it here.

    `function` takes and gives tensors of any shape, number by number; `text` is how it is written.
    `breaks`: where s or a derivative of it jumps, ascending. `degree`: 1 or 2 where s is a polynomial of that degree
    between them; then its dual is a closed form up to one smooth integral, and a series or quadrature elsewhere.
    `parameters`: (name, value) pairs, named as in the module and in the function. `modules` are the classes, or
    "package.Class", `functions` the functions, or names of PyTorch's, by which it is known in a model.
    `reach`: up to which |u| it is known to be smooth between its breaks. `source`: who published it.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    text: str = ""
    breaks: tuple[float, ...] = ()
    degree: int | None = None
    parameters: tuple[tuple[str, float], ...] = ()
    modules: tuple[type | str, ...] = ()
    functions: tuple[Callable | str, ...] = ()
    reach: float = inf
    source: str = ""
    rebuild: "Callable[..., Activation] | None" = field(default=None, repr=False, compare=False)

    def dual(self, rho: Tensor | float, first: float = 1.0, second: float | None = None, shift: float = 0.0) -> Tensor:
        """E s(first z + shift) s(second z' + shift) for corr(z, z') = `rho`, float64, in the shape of `rho`.

        `second` None is `first`. Exact where `degree` says so, else to 1e-7 of sqrt(E s^2 E s'^2).
        """
        from lrexplore.dual.correlation import correlate  # which needs this record

        return correlate(self, rho, first, first if second is None else second, shift)

    def at(self, *values: float) -> "Activation":
        """The same with other values of its parameters: `ACTIVATIONS["leaky_relu"].at(0.2)`."""
        if self.rebuild is None:
            raise ValueError(
                f"`values` must be none for {self.name!r}, which has no parameters, got {values}. Leave them out."
            )
        return self.rebuild(*values)

    @cached_property
    def values(self) -> Float64[Tensor, " points"]:
        """Its values at some numbers: what tells it from others."""
        return self.function(torch.linspace(-8, 8, 65, dtype=torch.float64))

    @cached_property
    def pieces(self) -> tuple[tuple[float, float, float], ...]:
        """(c, b, a) of the polynomial a u^2 + b u + c on each interval between the breaks; needs `degree`."""
        marks, degree = self.breaks or (0.0,), self.degree or 0
        places = [[marks[0] - t for t in (3.0, 2.0, 1.0)]]
        places += [[low + (high - low) * t for t in (0.25, 0.5, 0.75)] for low, high in pairwise(marks)]
        if self.breaks:
            places.append([marks[-1] + t for t in (1.0, 2.0, 3.0)])
        points = torch.tensor(places, dtype=torch.float64)
        powers = torch.stack([points**0, points, points**2], 2)[..., : degree + 1]
        solved = torch.linalg.lstsq(powers, self.function(points)[..., None]).solution[..., 0]
        # Rounding is no curvature: far out it would be seen.
        solved = torch.nn.functional.pad(torch.where(solved.abs() < 1e-11, 0.0, solved), (0, 2 - degree))
        return tuple((c, b, a) for c, b, a in solved.tolist())

    @cached_property
    def jumps(self) -> tuple[tuple[float, float, float], ...]:
        """By how much s, s' and s'' jump at each break; needs `degree`. Rounding is taken for no jump."""
        places = []
        for at, (before, after) in zip(self.breaks, pairwise(self.pieces), strict=True):
            c, b, a = (y - x for x, y in zip(before, after, strict=True))
            jumps = c + b * at + a * at**2, b + 2 * a * at, 2 * a
            value, slope, bend = (jump if abs(jump) > 1e-11 else 0.0 for jump in jumps)
            places.append((value, slope, bend))
        return tuple(places)

    @property
    def kinks(self) -> tuple[tuple[float, float], ...] | None:
        """(position, jump of the slope) of a piecewise linear s without jumps; None for any other."""
        if self.degree != 1 or any(value for value, _, _ in self.jumps):
            return None
        return tuple((at, slope) for at, (_, slope, _) in zip(self.breaks, self.jumps, strict=True))

    @cached_property
    def leak(self) -> float | None:
        """The slope below 0 where s(u) = u above it and is linear below, so positively homogeneous; else None."""
        if self.kinks is None or any(self.breaks):
            return None
        low, zero, one = self.function(torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)).tolist()
        return -low if (zero, one) == (0.0, 1.0) else None


class Activations(Mapping[str, Activation]):
    """Name -> `Activation`. Those with parameters are there under names such as "leaky_relu(0.2)" too."""

    def __init__(self) -> None:
        self._records: dict[str, Activation] = {}

    def _load(self) -> None:
        """Those of PyTorch and timm, when first asked for."""
        if not self._records:
            from lrexplore.dual.known import RECORDS  # which are made of this room's pieces

            self._records = {record.name: record for record in RECORDS}

    def __getitem__(self, name: str) -> Activation:
        if not isinstance(name, str):
            raise KeyError(name)
        self._load()
        if name in self._records:
            return self._records[name]
        parts = re.fullmatch(r"(\w+)\((.+)\)", name)
        record = self._records.get(parts[1]) if parts else None
        if parts is None or record is None or record.rebuild is None:
            raise KeyError(name)
        try:
            return record.at(*(float(value) for value in parts[2].split(",")))
        except (TypeError, ValueError) as error:
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(tuple(self._records))

    def __len__(self) -> int:
        self._load()
        return len(self._records)

    def add(self, record: Activation) -> Activation:
        """The record, from now on found under its name."""
        self._load()
        self._records[record.name] = record
        return record


ACTIVATIONS = Activations()
"""Name -> `Activation`: those of PyTorch and timm, and those that were registered by `lr.activation`.

>>> list(lr.ACTIVATIONS)[:4]
['identity', 'relu', 'leaky_relu', 'relu6']
>>> lr.ACTIVATIONS["leaky_relu(0.2)"].parameters
(('negative_slope', 0.2),)
>>> round(float(lr.ACTIVATIONS["relu"].dual(0.0)), 6)  # 1 / (2 pi)
0.159155
"""


def find_activation(name: str) -> Activation:
    """The activation of that name. Raises ValueError with the names there are."""
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise ValueError(
            f"`activation` must be one of {', '.join(ACTIVATIONS)}, got {name!r}. Choose one of them, with values of "
            "its parameters as in 'leaky_relu(0.2)' where it has some, or register yours by `lr.activation`."
        ) from None


def relu_correlation(rho: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """h(rho) = (sqrt(1 - rho^2) + rho (pi - arccos rho)) / pi: the ReLU dual over its value at 1; h(0) = 1/pi."""
    angle = torch.arccos(rho)
    return (torch.sin(angle) + rho * (pi - angle)) / pi


def relu_correlation_slope(rho: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """h'(rho) = 1 - arccos(rho) / pi."""
    return 1 - torch.arccos(rho) / pi


def homogeneous_correlation(rho: Tensor, leak: float) -> Tensor:
    """k(rho) / k(1) of the activation max(u, 0) + leak min(u, 0): ReLU for leak 0, the identity for leak 1."""
    return ((1 - leak) ** 2 * relu_correlation(rho) + 2 * leak * rho) / (1 + leak**2)


def homogeneous_correlation_slope(rho: Tensor, leak: float) -> Tensor:
    """Derivative of `homogeneous_correlation` in rho."""
    return ((1 - leak) ** 2 * relu_correlation_slope(rho) + 2 * leak) / (1 + leak**2)
