import numpy as np
import torch

import lrexplore as lr
from lrexplore.theory.figure import TheoryFigure
from lrexplore.theory.styles import STYLES


def test_a_line_carries_its_values_and_the_color_of_its_initializer():
    view = TheoryFigure("left", "right")
    view.line(2, "spectral", range(3), torch.tensor([3.0, 2.0, 1.0]), "spectral", dash="dash")
    [trace] = view.figure.data
    assert (trace.xaxis, trace.yaxis, trace.legend) == ("x2", "y2", "legend2")
    np.testing.assert_array_equal(trace.y, [3.0, 2.0, 1.0])
    assert (trace.line.color, trace.marker.symbol) == STYLES["spectral"]
    assert (trace.mode, trace.line.dash) == ("lines", "dash")


def test_a_css_color_is_taken_as_it_is_and_points_have_their_labels():
    view = TheoryFigure("one")
    view.points(1, "layers", [1, 2], [0.1, 0.2], "#44aa99", labels=["conv1", "fc"], marker="diamond")
    [trace] = view.figure.data
    assert (trace.marker.color, trace.marker.symbol, trace.mode) == ("#44aa99", "diamond", "markers")
    assert list(trace.text) == ["conv1", "fc"]


def test_function_error_is_solid_and_frobenius_error_dashed():
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    table = lr.error_curve(weight, initializer="rescaled")
    view = TheoryFigure("errors")
    view.errors(1, "rescaled", table)
    drawn = {trace.line.dash: trace for trace in view.figure.data}
    np.testing.assert_array_equal(drawn["solid"].y, table["function_error"])
    np.testing.assert_array_equal(drawn["dash"].y, table["frobenius_error"])


def test_a_range_is_in_values_on_a_logarithmic_axis_too():
    view = TheoryFigure("one", "two")
    view.axes(1, "rank", "error", y_range=(0, 2))
    view.axes(2, "n", "error", x_range=(10, 1000), log_x=True)
    layout = view.figure.layout
    assert (layout.yaxis.range, layout.xaxis2.type) == ((0, 2), "log")
    np.testing.assert_allclose(layout.xaxis2.range, (1, 3))


def test_the_legend_of_a_panel_stands_inside_that_panel():
    view = TheoryFigure("one", "two", "three")
    view.axes(2, "x", "y", legend="bottom left")
    low, high = view.figure.layout.xaxis2.domain
    legend = view.figure.layout.legend2
    assert low < legend.x < high
    assert (legend.xanchor, legend.yanchor) == ("left", "bottom")
