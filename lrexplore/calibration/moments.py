"""Streaming mean and second moment of vectors."""

import torch
from torch import Tensor

MOST_VECTORS = 8192
"""How many are summed in single precision before they join the sum in double precision."""


class Moments:
    """Mean and second moment of vectors, summed in float64."""

    def __init__(self, num_inputs: int, device: torch.device | str):
        self._sum = torch.zeros(num_inputs, dtype=torch.float64, device=device)
        self._products: Tensor | None = torch.zeros(num_inputs, num_inputs, dtype=torch.float64, device=device)
        self.num_vectors = 0

    def add(self, vectors: Tensor) -> None:
        """Adds vectors (..., n)."""
        flat = vectors.reshape(-1, vectors.shape[-1])
        work = flat if flat.dtype == torch.float64 else flat.float()
        assert self._products is not None
        for part in work.split(MOST_VECTORS):
            self._products += part.mT @ part
            self._sum += part.sum(0, dtype=torch.float64)
        self.num_vectors += len(flat)

    def finish(self) -> tuple[Tensor, Tensor]:
        """Mean (n,) and second moment (n, n); ends the sums, whose memory becomes the second moment."""
        assert self._products is not None  # it ends once
        moment, self._products = self._products, None
        moment.add_(moment.mT.clone()).div_(2 * self.num_vectors)
        return self._sum / self.num_vectors, moment


class OutputMoments:
    """Mean and variance of a layer's outputs, and how often u = scale * output + shift is positive."""

    def __init__(self, scale: Tensor, shift: Tensor):
        self._scale, self._shift = scale.double(), shift.double()
        self._sum, self._squares, self._positive = (torch.zeros_like(self._scale) for _ in range(3))
        self._count = 0

    def add(self, outputs: Tensor) -> None:
        """Adds outputs (..., channels) of the layer, bias included."""
        outputs = outputs.reshape(-1, outputs.shape[-1]).double()
        self._count += len(outputs)
        self._sum += outputs.sum(0)
        self._squares += outputs.square().sum(0)
        self._positive += (self._scale * outputs + self._shift > 0).sum(0)

    @property
    def mean(self) -> Tensor:
        """(channels,)."""
        return self._sum / self._count

    @property
    def variance(self) -> Tensor:
        """(channels,)."""
        return (self._squares / self._count - self.mean.square()).clamp_min(0)

    @property
    def active(self) -> Tensor:
        """Probability that u > 0, (channels,)."""
        return self._positive / self._count
