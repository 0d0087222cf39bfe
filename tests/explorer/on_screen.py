"""What an explorer shows, read back from what the browser has."""

import numpy as np
import torch

from lrexplore.explorer.app import Explorer
from lrexplore.explorer.panel.arrays import unpack


def curve_on_screen(explorer: Explorer, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Ranks and function errors of an initializer in the error plot."""
    plot = next(plot for plot in explorer.panel.frame["plots"] if plot["id"] == "error")
    trace = next(trace for trace in plot["data"] if trace["name"] == name)
    return unpack(trace["x"]), unpack(trace["y"])


def weight_on_screen(explorer: Explorer) -> torch.Tensor:
    """The weight of the chosen layer; of a grouped one, its first group's."""
    layer = explorer.subject.layers[explorer.state.layer]
    return explorer.subject.model.get_submodule(layer.name).weight.detach()[: layer.group_shape[0]]
