"""The recorded spectra of one run, moment after moment, as they are drawn. No widget, no tensor."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lrexplore.records.spectra import CUTS, QUANTITIES, layers_of


class Moments:
    """What a run recorded of the spectra of its layers (`names`), by moment; `steps` says when each was."""

    def __init__(self, names: Iterable[str]):
        self.names = list(names)
        self.steps: list[int] = []
        self._numbers: list[np.ndarray] = []  # of a moment, (layers, quantities)
        self._spectra: list[list[tuple[np.ndarray, np.ndarray]]] = []
        self._full: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.steps)

    def extend(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds rows of the stream; those that are none are left out."""
        for row in rows:
            layers = layers_of(row, self.names)
            if layers:
                self.steps.append(layers[0]["step"])
                self._numbers.append(np.array([[layer[key] for key in QUANTITIES] for layer in layers], dtype=float))
                self._spectra.append([(layer["ranks"], layer["singular_values"]) for layer in layers])
                self._full.append([layer["full_rank"] for layer in layers])

    def table(self, quantity: str) -> np.ndarray:
        """(moments, layers) of a quantity."""
        if not self._numbers:
            return np.zeros((0, len(self.names)))
        return np.stack(self._numbers)[:, :, QUANTITIES.index(quantity)]

    def spectrum(self, moment: int, layer: str) -> tuple[np.ndarray, np.ndarray]:
        """Ranks and singular values of a layer at a moment."""
        return self._spectra[moment][self.names.index(layer)]

    def full_rank(self, moment: int, layer: str) -> int:
        """How many singular values the layer would have without factors."""
        return self._full[moment][self.names.index(layer)]

    def errors(self, moment: int, layer: str) -> dict[float, tuple[float, float]]:
        """Rank scale of a cut -> its function and its Frobenius error, of a layer at a moment."""
        row = dict(zip(QUANTITIES, self._numbers[moment][self.names.index(layer)], strict=True))
        return {scale: (row[f"function_error_{scale:g}"], row[f"frobenius_error_{scale:g}"]) for scale in CUTS}

    def nearest(self, step: int) -> int:
        """The moment that lies nearest to a step."""
        return int(np.abs(np.array(self.steps) - step).argmin())
