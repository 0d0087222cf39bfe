"""All heads of a network at a glance: numbers by head and attention."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from lrexplore.explorer.head_spectra import HeadSpectra, rank_for_energy
from lrexplore.linalg import stable_rank
from lrexplore.network.attention.head_layers import HeadLayer
from lrexplore.ranks.heads.head_curves import head_curves

STABLE, ENERGY, ERROR = MAPS = ("stable rank", "rank for 90 % energy", "error at the rank")
"""What the heat map of heads can show."""


@dataclass(frozen=True, eq=False)
class HeadMap:
    """The heads of one kind, "QK" or "OV": rows are heads, columns the attentions that have some, in model order."""

    model: nn.Module
    heads: tuple[HeadLayer, ...]
    spectra: HeadSpectra

    @cached_property
    def attentions(self) -> list[str]:
        """The names of the columns."""
        return list(dict.fromkeys(layer.head.attention for layer in self.heads))

    @cached_property
    def names(self) -> list[list[str]]:
        """The name of the head in every cell; "" where there is none."""
        return self._table({layer.name: layer.name for layer in self.heads}, "", object).tolist()

    @cached_property
    def stable_ranks(self) -> np.ndarray:
        """|A|_F^2 / |A|_2^2 of every head's product."""
        return self._table({x.name: stable_rank(self.spectra.values(x.head)) for x in self.heads})

    @cached_property
    def ranks_for_energy(self) -> np.ndarray:
        """The rank that keeps 90 % of the squared norm of every head's product."""
        return self._table({x.name: rank_for_energy(self.spectra.values(x.head).numpy()) for x in self.heads})

    def errors(self, max_rank: int) -> np.ndarray:
        """(max_rank, heads, attentions): error of every head at ranks 1..max_rank, on white inputs."""
        by_rank = [np.zeros(max_rank) for _ in self.heads]
        for row, layer in zip(by_rank, self.heads, strict=True):
            curve = self._curves[layer.name][:max_rank]
            row[: len(curve)] = curve
        tables = [
            self._table({x.name: row[rank] for x, row in zip(self.heads, by_rank, strict=True)})
            for rank in range(max_rank)
        ]
        return np.stack(tables)

    @cached_property
    def _curves(self) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            return head_curves(self.model, [layer.head for layer in self.heads])

    def _table(self, values: dict, missing=np.nan, kind: type = float) -> np.ndarray:
        rows = 1 + max(layer.head.place for layer in self.heads)
        table = np.full((rows, len(self.attentions)), missing, dtype=kind)
        for layer in self.heads:
            table[layer.head.place, self.attentions.index(layer.head.attention)] = values[layer.name]
        return table


def short_names(names: list[str]) -> list[str]:
    """The names without the parts, between dots, that all begin or end with."""
    parts = [name.split(".") for name in names]
    if len(set(map(tuple, parts))) < 2:
        return list(names)
    while all(len(part) > 1 for part in parts) and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    while all(len(part) > 1 for part in parts) and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    return [".".join(part) for part in parts]
