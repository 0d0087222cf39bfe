"""Inputs and origins for tests of the Network tab."""

import numpy as np
import torch
from torch import Tensor

from lrexplore.explorer.network.compute import Allocation
from lrexplore.explorer.network.figures import STATES
from lrexplore.explorer.panel.arrays import unpack
from lrexplore.explorer.samples import Origin


def batches(num_inputs: int = 24, size: int = 12) -> list[Tensor]:
    """Batches of small color images whose pixels hang together."""
    coarse = torch.randn(num_inputs, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    return list(torch.nn.functional.interpolate(coarse, size=size, mode="bilinear").split(8))


def silent(done: int, total: int, what: str) -> None:
    """Progress that nobody looks at."""


def prepared(model, wish) -> Allocation:
    """An allocation of a model, ready for a wish."""
    allocation = Allocation(model, Origin(loader=batches()))
    allocation.prepare(wish, silent)
    return allocation


def plot(page, plot_id: str) -> dict:
    """A plot as the browser has it."""
    return next(plot for plot in page.panel.frame["plots"] if plot["id"] == plot_id)


def readout(page, name: str) -> dict:
    """A readout as the browser has it."""
    return next(readout for readout in page.panel.frame["readouts"] if readout["id"] == name)


def shares_on_screen(page):
    """Height of every bar, whichever of the traces shows it, and the name of that trace."""
    heights = np.stack([unpack(trace["y"]) for trace in plot(page, "ranks")["data"]])
    return heights.max(0), [STATES[place][0] for place in heights.argmax(0)]


def receive(page, **content) -> None:
    """A click or a drag that the browser sends."""
    page.panel._handle_custom_msg({"type": "point", "trace": 0, "step": None, **content}, [])


def take_error(page) -> str:
    """What the error area says; it is emptied."""
    message, page.panel.error = page.panel.error, ""
    return message
