"""Singular values of the attention heads under study, found for one product of an attention at a time."""

from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn

from lrexplore.linalg import gram_values
from lrexplore.network.attention.find_heads import Head, head_grams
from lrexplore.nn.attention import heads_of


class HeadSpectra:
    """The spectra of a model's heads, kept once they are known."""

    def __init__(self, model: nn.Module):
        self._model = model
        self._known: dict[tuple[str, str], Tensor] = {}
        self._lock = Lock()

    def values(self, head: Head) -> Tensor:
        """Singular values (dimension,) of a head's product, descending, float64."""
        key = head.attention, head.kind
        with self._lock:
            if key not in self._known:
                attention = heads_of(self._model.get_submodule(head.attention))
                assert attention is not None  # whoever has a head has found its attention
                with torch.inference_mode():
                    self._known[key] = gram_values(*head_grams(attention, head.kind))
            return self._known[key][head.place]


def rank_for_energy(values: np.ndarray, share: float = 0.9) -> int:
    """The least rank that keeps this share of the squared Frobenius norm."""
    squares = np.asarray(values, dtype=float) ** 2
    if not squares.sum():
        return 1
    return int(np.searchsorted(squares.cumsum(), share * squares.sum() * (1 - 1e-12))) + 1
