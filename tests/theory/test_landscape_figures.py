import numpy as np
import torch

from lrexplore.proof.provable import provable
from lrexplore.theory.landscape import directions_of_plane, directions_of_space, rank_one_errors
from lrexplore.theory.landscape_figures import SphereFigure, search_of_plane, search_of_space
from lrexplore.theory.search_trace import angles, outlines, search_trace

PLANE = torch.tensor([[1.0, 0.0], [0.0, 0.99]], dtype=torch.float64)
SPACE = torch.diag(torch.tensor([1.0, 0.97, 0.94], dtype=torch.float64))


def test_a_trace_closes_in_on_what_is_provable():
    for weight in (PLANE, SPACE):
        trace = search_trace(weight, eps=2e-3, batch=2)
        errors, floors = [x.error for x in trace], [x.floor for x in trace]
        assert errors == sorted(errors, reverse=True) and floors == sorted(floors)
        assert [x.num_cells for x in trace] == sorted({x.num_cells for x in trace})
        assert errors[-1] - floors[-1] <= 2e-3 and not trace[-1].live.any()
        assert abs(errors[-1] - provable(weight, 1, eps=1e-4).error) <= 2e-3


def test_cells_of_the_plane_lie_below_the_error_and_cover_all_angles():
    degrees = torch.linspace(-45, 135, 721, dtype=torch.float64)
    errors = rank_one_errors(PLANE, directions_of_plane(degrees)).numpy()
    for snapshot in search_trace(PLANE, eps=1e-3, batch=1):
        ends = angles(snapshot.low, snapshot.high)
        order = ends[:, 0].argsort()
        np.testing.assert_allclose(ends[order][1:, 0], ends[order][:-1, 1], atol=1e-9)
        np.testing.assert_allclose((ends.min(), ends.max()), (-45, 135), atol=1e-9)
        inside = (degrees.numpy() >= ends[:, :1]) & (degrees.numpy() <= ends[:, 1:])
        assert (np.where(inside, errors, np.inf).min(1) >= snapshot.floors - 1e-9).all()


def test_outlines_are_closed_curves_on_the_sphere_around_their_cell():
    snapshot = search_trace(SPACE, eps=2e-3, batch=4)[5]
    edges = outlines(snapshot.low, snapshot.high)
    np.testing.assert_allclose(np.linalg.norm(edges, axis=2), 1)
    np.testing.assert_array_equal(edges[:, 0], edges[:, -1])
    center = snapshot.low + snapshot.high
    center /= np.linalg.norm(center, axis=1, keepdims=True)
    reach = np.einsum("cpx,cx->cp", edges, center)
    assert (reach > 0.5).all() and outlines(snapshot.low[:0], snapshot.high[:0]).shape == (0, 17, 3)


def test_the_search_of_the_plane_moves_through_all_snapshots():
    degrees = torch.linspace(-45, 135, 91, dtype=torch.float64)
    trace = search_trace(PLANE, eps=1e-2, batch=1)
    figure = search_of_plane(trace, degrees.numpy(), rank_one_errors(PLANE, directions_of_plane(degrees)).numpy())
    assert [frame.name for frame in figure.frames] == [str(x.num_cells) for x in trace]
    best = next(trace for trace in figure.frames[-1].data if trace.name == "best so far")
    assert abs(abs((best.x[0] + 90) % 180 - 90) - 19.7) < 1 and best.y[0] == trace[-1].error


def test_the_search_of_space_draws_every_cell_of_a_snapshot():
    trace = search_trace(SPACE, eps=1e-2, batch=8)
    grid = directions_of_space(7, 13)
    errors = rank_one_errors(SPACE, grid.flatten(0, 1)).view(7, 13)
    figure = search_of_space(trace, grid.numpy(), errors.numpy())
    surface = next(x for x in figure.data if x.type == "surface")
    np.testing.assert_allclose(surface.surfacecolor, errors, rtol=1e-6)
    for frame, snapshot in zip(figure.frames, trace, strict=True):
        drawn = [x for x in frame.data if x.type == "scatter3d" and x.mode == "lines"]
        counts = [int(np.isnan(np.asarray(x.x, dtype=float)).sum()) for x in drawn]
        assert counts == [int(snapshot.live.sum()), int((~snapshot.live).sum())]


def test_a_sphere_stands_beside_a_panel_with_axes():
    view = SphereFigure("left", "right")
    view.axes(1, "x", "y")
    view.line(1, "line", [0, 1], [0, 1])
    view.directions("axis", np.eye(3)[:1], "#000000")
    line, axis = view.figure.data
    assert (line.xaxis, axis.type, axis.legend) == ("x", "scatter3d", "legend2")
    np.testing.assert_allclose(np.abs(axis.x), 1.04, rtol=1e-6)
