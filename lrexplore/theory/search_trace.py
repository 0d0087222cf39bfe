"""What branch and bound of rank 1 knew after every few cells, as plain arrays."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lrexplore.proof.branch_and_bound import Search


class Snapshot(NamedTuple):
    """A search after `num_cells` cells: the function `error` of the best `direction` (n,) so far, the `floor` proved
    for all, and the cells that now cover the half sphere: corners `low`, `high` (cells, n) of boxes on the faces of
    the cube, a floor for each, and whether it is still `live`: some direction in it might be better by eps."""

    num_cells: int
    error: float
    floor: float
    direction: np.ndarray
    low: np.ndarray
    high: np.ndarray
    floors: np.ndarray
    live: np.ndarray


def search_trace(weight: Tensor, *, eps: float, batch: int) -> list[Snapshot]:
    """Snapshots of the search for the best rank-1 factors of a weight (m, n), `batch` cells split between two.

    It starts at the spectral direction and ends when no other is better by `eps` of the output energy.
    """
    search = Search.of(weight, 1)
    start = torch.linalg.svd(weight.double()).Vh[0]
    snapshots, done = [], []
    for state in search.steps(torch.outer(start, start), eps, batch):
        done.append((state.dropped.low, state.dropped.high, state.dropped_bounds))
        parts = [(state.live.low, state.live.high, state.bounds), *done]
        low, high, bounds = (torch.cat(x).numpy() for x in zip(*parts, strict=True))
        direction = torch.linalg.eigh(state.point).eigenvectors[:, -1].numpy()
        live = np.arange(len(low)) < len(state.live)
        snapshots.append(Snapshot(state.seen, 1 - state.kept, 1 - state.bound, direction, low, high, 1 - bounds, live))
    return snapshots


def angles(cells_low: np.ndarray, cells_high: np.ndarray) -> np.ndarray:
    """Ends of cells of the plane in degrees, (cells, 2), from -45 to 135."""
    ends = np.stack([cells_low, cells_high], 1)
    return np.sort(np.degrees(np.arctan2(ends[..., 1], ends[..., 0])), 1)


def outlines(cells_low: np.ndarray, cells_high: np.ndarray, num_points: int = 4) -> np.ndarray:
    """Edges of cells of space on the unit sphere, (cells, 4 num_points + 1, 3)."""
    fixed = (cells_low == cells_high).argmax(1)
    around = []
    for cell, axis in enumerate(fixed):
        x, y = (other for other in range(3) if other != axis)
        low, high = cells_low[cell], cells_high[cell]
        corners = [(low[x], low[y]), (high[x], low[y]), (high[x], high[y]), (low[x], high[y]), (low[x], low[y])]
        share = np.arange(num_points)[:, None] / num_points
        sides = [(1 - share) * np.array(a) + share * np.array(b) for a, b in zip(corners, corners[1:], strict=False)]
        flat = np.concatenate([*sides, [corners[0]]])
        points = np.empty((len(flat), 3))
        points[:, axis], points[:, x], points[:, y] = low[axis], flat[:, 0], flat[:, 1]
        around.append(points / np.linalg.norm(points, axis=1, keepdims=True))
    return np.array(around).reshape(len(fixed), 4 * num_points + 1, 3)
