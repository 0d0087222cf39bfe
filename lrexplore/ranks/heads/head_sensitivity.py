"""How far attention heads move the network's output: all of one product of an attention at once, shared by size."""

from collections.abc import Iterable, Mapping

import numpy as np
from torch import nn

from lrexplore.calibration import Calibration
from lrexplore.network.attention import smaller_heads
from lrexplore.network.attention.head_layers import HeadLayer
from lrexplore.ranks.heads.head_curves import head_energies, head_moments


class HeadProbe:
    """The heads of one product of an attention, cut together: `model(original)` is the network with them smaller."""

    def __init__(self, heads: list[HeadLayer], scale: float):
        self.heads = heads
        self.ranks = {
            head.name: max(head.rank_step, head.rank_step * round(scale * head.head.dimension / head.rank_step))
            for head in heads
        }
        self.name = heads[0].name.rpartition(".")[0]

    def model(self, original: nn.Module, calibration: Calibration | None) -> nn.Module:
        """A copy of the network with these heads at their ranks."""
        return smaller_heads(original, self.ranks, head_moments(original, calibration))

    def shared(
        self, movement: float, original: nn.Module, curves: Mapping[str, np.ndarray], calibration: Calibration | None
    ) -> dict[str, float]:
        """Name of a head -> movement of the output per unit of its error.

        The movement of all is taken to be the sum over heads of energy times relative error, times one number.
        """
        energies = head_energies(original, [head.head for head in self.heads], calibration)
        lost = sum(energies[name] * max(float(curves[name][rank - 1]), 1e-6) for name, rank in self.ranks.items())
        return {name: movement * energies[name] / lost if lost > 0 else 0.0 for name in self.ranks}


def head_probes(layers: Iterable[object], scale: float) -> list[HeadProbe]:
    """One probe a product of an attention, for the heads among the layers."""
    groups: dict[str, list[HeadLayer]] = {}
    for layer in layers:
        if isinstance(layer, HeadLayer):
            groups.setdefault(layer.name.rpartition(".")[0], []).append(layer)
    return [HeadProbe(heads, scale) for heads in groups.values()]
