"""The landscape of rank 1 on the circle and on the sphere, and a search of it cell by cell."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lrexplore.theory.moving_figure import MovingFigure
from lrexplore.theory.search_trace import Snapshot, angles, outlines

LIVE, DONE, FLOOR = "#cc6677", "#999999", "#117733"


class SphereFigure(MovingFigure):
    """A `MovingFigure` whose last panel is the unit sphere, colored by the function error of each direction."""

    def __init__(self, *titles: str, height: int = 500):
        super().__init__(*titles, height=height, sphere=True)
        self._sphere = len(titles)
        self.figure.update_scenes(camera={"eye": {"x": 1.6, "y": -0.5, "z": 0.7}})

    def landscape(self, directions: np.ndarray, errors: np.ndarray) -> None:
        """Color the sphere: `directions` (rows, columns, 3) and their errors (rows, columns)."""
        x, y, z = (directions[..., axis].astype(np.float32) for axis in range(3))
        bar = {"title": "function error", "len": 0.7, "x": 1.0}
        self._place(
            go.Surface(
                x=x, y=y, z=z, surfacecolor=errors.astype(np.float32), colorscale="Viridis", colorbar=bar,
                lighting={"ambient": 1.0, "diffuse": 0.0}, hovertemplate="error %{surfacecolor:.4f}<extra></extra>",
            ),
            self._sphere,
        )  # fmt: skip

    def directions(self, name: str, lines: np.ndarray, color: str, symbol: str = "circle") -> None:
        """Mark directions (lines, 3), each at both of its ends."""
        points = 1.04 * np.concatenate([lines, -lines])
        self._curve(name, points, mode="markers", marker={"color": color, "symbol": symbol, "size": 7})

    def cells(self, name: str, edges: np.ndarray, color: str) -> None:
        """Outline cells (cells, points, 3)."""
        gaps = np.full((len(edges), 1, 3), np.nan)
        points = 1.005 * np.concatenate([edges, gaps], 1).reshape(-1, 3)
        self._curve(name, points, mode="lines", line={"color": color, "width": 3})

    def _curve(self, name: str, points: np.ndarray, **options: Any) -> None:
        x, y, z = points.astype(np.float32).T
        legend = "legend" if self._sphere == 1 else f"legend{self._sphere}"
        self._place(go.Scatter3d(x=x, y=y, z=z, name=name, legend=legend, hoverinfo="name", **options), self._sphere)


def search_of_plane(trace: list[Snapshot], degrees: np.ndarray, errors: np.ndarray) -> go.Figure:
    """The search in the plane with a slider over cells: the error of every angle, and what is proved in every cell."""
    view = MovingFigure("Error of every direction, and what is proved", "Closing in")
    # Not down to the first, crude floors: the landscape would be flat.
    limits = (errors.max() - 4 * np.ptp(errors), errors.max() + 0.2 * np.ptp(errors))
    view.axes(
        1, "angle of the direction, degrees", "function error", x_range=(-45, 135), y_range=limits, legend="bottom left"
    )
    view.figure.update_xaxes(dtick=45, col=1)
    view.line(1, "function error", degrees, errors, "function")
    for snapshot in trace:
        with view.moment(str(snapshot.num_cells), _note(snapshot)):
            for name, color, chosen in _kinds(snapshot):
                ends = angles(snapshot.low[chosen], snapshot.high[chosen])
                floors = snapshot.floors[chosen]
                view.line(1, name, _broken(ends[:, 0], ends[:, 1]), _broken(floors, floors), color)
            _best_so_far(view, snapshot)
            _closing_in(view, trace, snapshot)
    _closing_axes(view, trace)
    return view.slider("cells looked at", play=True)


def search_of_space(trace: list[Snapshot], directions: np.ndarray, errors: np.ndarray) -> go.Figure:
    """The search in space with a slider over cells: cells on the colored sphere, and how the gap closes."""
    view = SphereFigure("Closing in", "Cells on the sphere of directions")
    view.landscape(directions, errors)
    for snapshot in trace:
        with view.moment(str(snapshot.num_cells), _note(snapshot)):
            _closing_in(view, trace, snapshot, panel=1)
            for name, color, chosen in _kinds(snapshot):
                view.cells(name, outlines(snapshot.low[chosen], snapshot.high[chosen]), color)
            view.directions("best so far", snapshot.direction[None], "#000000", "diamond")
    _closing_axes(view, trace, panel=1)
    return view.slider("cells looked at", play=True)


def _kinds(snapshot: Snapshot) -> Iterator[tuple[str, str, np.ndarray]]:
    yield "cell still open", LIVE, snapshot.live
    yield "cell closed: nothing better inside", DONE, ~snapshot.live


def _note(snapshot: Snapshot) -> str:
    return (
        f"{snapshot.num_cells} cells looked at, {int(snapshot.live.sum())} open: "
        f"best found {snapshot.error:.4f}, proved that none is below {snapshot.floor:.4f}"
    )


def _best_so_far(view: MovingFigure, snapshot: Snapshot) -> None:
    angle = (np.degrees(np.arctan2(snapshot.direction[1], snapshot.direction[0])) + 45) % 180 - 45
    view.points(1, "best so far", [angle], [snapshot.error], marker="diamond")


def _closing_in(view: MovingFigure, trace: list[Snapshot], snapshot: Snapshot, panel: int = 2) -> None:
    so_far = [other for other in trace if other.num_cells <= snapshot.num_cells]
    cells = [other.num_cells for other in so_far]
    view.line(panel, "best error found", cells, [other.error for other in so_far], marker="diamond")
    view.line(panel, "floor proved", cells, [other.floor for other in so_far], FLOOR, marker="square")


def _closing_axes(view: MovingFigure, trace: list[Snapshot], panel: int = 2) -> None:
    last, first = trace[-1], trace[0]
    room = 0.15 * (first.error - first.floor)
    x_range, y_range = (0, 1.05 * last.num_cells), (first.floor - room, first.error + room)
    view.axes(panel, "cells looked at", "function error", legend="bottom right", x_range=x_range, y_range=y_range)


def _broken(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """start, end, a gap, for every piece of a line drawn in pieces."""
    return np.stack([start, end, np.full_like(start, np.nan)], 1).ravel()
