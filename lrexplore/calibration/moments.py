"""Streaming mean and second moment, with how far the latter may be from the truth."""

import torch
from torch import Tensor

CHUNK_BYTES = 64 * 2**20


class Moments:
    """Mean and second moment of vectors that come in clusters (the patches of one image), float64 sums.

    Vectors of one cluster resemble each other, so the spread of the second moment is measured between clusters:
    with M_b that of cluster b of B, E|M - truth|_F^2 is estimated by (sum |M_b|^2 - B |M|^2) / (B (B - 1)).
    Nothing larger than the second moment itself is kept.
    """

    def __init__(self, num_inputs: int, device: torch.device | str):
        self._sum = torch.zeros(num_inputs, dtype=torch.float64, device=device)
        self._products: Tensor | None = torch.zeros(num_inputs, num_inputs, dtype=torch.float64, device=device)
        self._norms = torch.zeros((), dtype=torch.float64, device=device)
        self.num_vectors = self._num_clusters = 0

    def add(self, vectors: Tensor) -> None:
        """Adds vectors (clusters, size, n); every cluster has the same number."""
        clusters, size, n = vectors.shape
        work = vectors if vectors.dtype == torch.float64 else vectors.float()
        per_cluster = max(min(n, size) ** 2, 1) * work.element_size()
        assert self._products is not None
        for part in work.split(max(1, CHUNK_BYTES // per_cluster)):
            if n <= size:
                grams = part.mT @ part
                self._products += grams.sum(0, dtype=torch.float64)
            else:
                # |X^T X|_F = |X X^T|_F, and the second is the smaller one.
                grams = part @ part.mT
                flat = part.reshape(-1, n)
                self._products += flat.mT @ flat
            norms = torch.linalg.vector_norm(grams, dim=(1, 2), dtype=torch.float64) / size
            self._norms += norms.square().sum()
            self._sum += part.sum((0, 1), dtype=torch.float64)
        self.num_vectors += clusters * size
        self._num_clusters += clusters

    def finish(self) -> tuple[Tensor, Tensor, float]:
        """Mean (n,), second moment (n, n) and the estimated E|second moment - truth|_F^2; ends the sums.

        With one cluster the last is the squared norm itself. The memory of the sums becomes the second moment.
        """
        assert self._products is not None  # it ends once
        moment, self._products = self._products, None
        moment.add_(moment.mT.clone()).div_(2 * self.num_vectors)
        count, square = self._num_clusters, float(torch.linalg.vector_norm(moment)) ** 2
        spread = square if count < 2 else max(float(self._norms) - count * square, 0.0) / (count * (count - 1))
        return self._sum / self.num_vectors, moment, spread


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
