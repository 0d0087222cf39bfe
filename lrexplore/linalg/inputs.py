"""What one layer is given on real inputs, in plain tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

REAL, IMPLIED, WHITE = "", "implied by batch norm", "white noise"
"""Where a layer's inputs come from: a loader, the batch norms' statistics, or nowhere."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerInputs:
    """Moments and samples of the input vectors (n,) of one layer, or of one group of a grouped convolution.

    A convolution's input vector is its patch (c_in, k_h, k_w), flattened, padding included. What follows the
    layer in evaluation mode is u = scale * (W x) + shift, then the activation: bias and batch norm are in
    `scale` and `shift`. `samples` are for fitting, `held_out` (from other inputs of the loader) for judging.
    `sampling_variance` is the expected squared Frobenius distance of `second_moment` from what more inputs of
    the same kind would give. `source` says of inputs that nobody gave where they come from, such as "white noise".
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
