"""What one layer is given on real inputs, in plain tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

REAL, IMPLIED, WHITE = "", "implied by batch norm", "white noise"
"""Where a layer's inputs come from: a loader, the batch norms' statistics, or nowhere."""

_WANTED_ERROR = 0.1


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerInputs:
    """Moments and samples of the input vectors (n,) of one layer, or of one group of a grouped convolution.

    A convolution's input vector is its patch (c_in, k_h, k_w), flattened, padding included. What follows the
    layer in evaluation mode is u = scale * (W x) + shift, then the activation: bias and batch norm are in
    `scale` and `shift`. `samples` are for fitting, `held_out` (from other inputs of the loader) for judging.
    `num_groups` of the fitting inputs are independent (0: not known), and `sampling_variance` is the expected squared
    Frobenius distance of their covariance from what many more of the same kind would give; infinite where one group
    cannot tell. `implied_share` of all here, moments and samples, is what the network implies of its inputs.
    `source` says of inputs that nobody gave where they come from, such as "white noise".
    Raises ValueError for shapes that do not fit each other.
    """

    mean: Tensor  # (n,) float64
    second_moment: Tensor  # (n, n) float64
    sampling_variance: float
    num_vectors: int
    samples: Tensor  # (s, n)
    held_out: Tensor  # (h, n)
    scale: Tensor  # (neurons,)
    shift: Tensor  # (neurons,)
    output_mean: Tensor  # (neurons,) of W x + bias
    output_variance: Tensor  # (neurons,)
    active: Tensor  # (neurons,) probability that u > 0
    kernel_size: tuple[int, int] = (1, 1)
    source: str = REAL
    num_groups: int = 0
    implied_share: float = 0.0

    def __post_init__(self) -> None:
        n, neurons = len(self.mean), len(self.scale)
        expected = {
            "second_moment": (n, n),
            "samples": (len(self.samples), n),
            "held_out": (len(self.held_out), n),
            **dict.fromkeys(("shift", "output_mean", "output_variance", "active"), (neurons,)),
        }
        for name, shape in expected.items():
            there = tuple(getattr(self, name).shape)
            if there != shape:
                raise ValueError(
                    f"`{name}` must have shape {shape} beside `mean` ({n},) and `scale` ({neurons},), got {there}. "
                    "Take all tensors from one layer's calibration."
                )

    @property
    def num_inputs(self) -> int:
        """n, the length of an input vector."""
        return len(self.mean)

    @property
    def judged(self) -> Float[Tensor, "h n"]:
        """The vectors to judge by, (h, n): `held_out`, or `samples` where the loader gave one input only."""
        return self.held_out if len(self.held_out) else self.samples

    @property
    def enough_groups(self) -> float:
        """How many independent inputs would give a covariance with 10 % of expected error; infinite if unknown."""
        energy = self.energy
        if not self.num_groups or not energy > 0:
            return float("inf")
        return max(1.0, self.num_groups * self.sampling_variance / (_WANTED_ERROR**2 * energy))

    @property
    def are_few(self) -> bool:
        """Whether more independent inputs than these are wanted, or others were mixed in for the lack of them."""
        return bool(self.num_groups) and (self.num_groups < self.enough_groups or self.implied_share >= 0.005)

    @property
    def said(self) -> str:
        """In words, on how many independent inputs this rests, how many would do, and what it leans on; "" of none."""
        if self.source or not self.num_groups:
            return self.source
        enough = self.enough_groups
        words = f"{self.num_groups} independent input{'s' if self.num_groups > 1 else ''}"
        if self.num_groups < enough < float("inf"):
            words += f" (about {_rounded(enough)} would do)"
        if self.implied_share >= 0.005:
            words += f", {self.implied_share:.0%} implied by batch norm"
        return words

    @cached_property
    def energy(self) -> float:
        """Sum of the squares of the covariance, which is not formed where that is not needed to be right."""
        entries, mean = self.second_moment.flatten(), self.mean
        whole = float(entries.dot(entries))
        energy = whole - 2 * float(mean @ (self.second_moment @ mean)) + float(mean @ mean) ** 2
        return energy if energy > 1e-10 * whole else float(self.covariance().square().sum())

    def covariance(self) -> Float64[Tensor, "n n"]:
        """The covariance (n, n), float64."""
        return self.second_moment - torch.outer(self.mean, self.mean)

    def to(self, *, device: torch.device | str) -> "LayerInputs":
        """The same numbers on another device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: x.to(device) for name, x in values.items() if isinstance(x, Tensor)}
        return replace(self, **moved)

    def check_shape(self, weight_shape: Sequence[int]) -> None:
        """Raises ValueError unless a weight of this shape takes these inputs."""
        neurons, n = weight_shape[0], torch.Size(weight_shape[1:]).numel()
        kernel_size = tuple(weight_shape[2:]) or (1, 1)
        if (neurons, n, kernel_size) != (len(self.scale), self.num_inputs, tuple(self.kernel_size)):
            raise ValueError(
                f"`calibration` must be of a layer with weight {tuple(weight_shape)}, got one of {len(self.scale)} "
                f"neurons and {self.num_inputs} inputs. Pass that layer's own entry, `calibration[name]`."
            )


def _rounded(count: float) -> int:
    """Two figures of a number, so that it does not look known."""
    return int(float(f"{count:.2g}"))
