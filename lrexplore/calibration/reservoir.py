"""A bounded uniform sample of a stream of vectors."""

import torch
from torch import Tensor


class Reservoir:
    """At most `size` vectors, each equally likely to be any of those that came.

    Every vector gets a random key; those with the smallest keys stay (the sample is uniform, without replacement).
    """

    def __init__(self, size: int, generator: torch.Generator):
        self._size, self._generator = size, generator
        self._keys: Tensor | None = None
        self._vectors: Tensor | None = None

    def add(self, vectors: Tensor) -> None:
        """Adds vectors (count, n); only those that may stay are copied."""
        keys = torch.rand(len(vectors), generator=self._generator).to(vectors.device)
        if self._keys is not None and self._vectors is not None:
            largest = self._keys[-1] if len(self._keys) == self._size else torch.inf
            stays = keys < largest
            keys, vectors = torch.cat([self._keys, keys[stays]]), torch.cat([self._vectors, vectors[stays]])
        order = keys.argsort()[: self._size]
        self._keys, self._vectors = keys[order], vectors[order]

    def sample(self, num_inputs: int, like: Tensor) -> Tensor:
        """The sample (count, n), in random order; empty when nothing came."""
        return like.new_empty(0, num_inputs) if self._vectors is None else self._vectors
