"""plotly Figures that stay on this machine."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import pytest

from lrexplore.explorer.layer.outputs import plotly_figure
from lrexplore.explorer.pictures.board_figure import board_figure, forest_figure
from lrexplore.theory.figure import TheoryFigure
from lrexplore.theory.moving_figure import MovingFigure
from lrexplore.theory.offline import draw_offline, literal

MIME = "application/vnd.plotly.v1+json"
AXES = {"xaxis": {"title": {"text": "rank"}}, "yaxis": {"title": {"text": "error"}}}
LINE = {"type": "scatter", "mode": "lines", "name": "function", "x": [1, 2], "y": [3, 4], "line": {"color": "#d55e00"}}
PLOT = {"id": "a", "label": "Error of cost$x$", "data": [LINE], "layout": AXES, "rank_axis": True, "by_rank": []}


def moving() -> go.Figure:
    view = MovingFigure("A panel")
    with view.moment("1"):
        view.line(1, "line", [1, 2], [3, 4])
    return view.slider("a")


def forest() -> go.Figure:
    row = {"name": "a", "mean": 1.0, "low": 0.5, "high": 1.5, "separated": True, "count": 3, "pairs": 3, "seeds": 3}
    return forest_figure(pd.DataFrame([row]), ("name",), "A title", "points")


FIGURES = {
    "theory": lambda: TheoryFigure("A panel").figure,
    "moving": moving,
    "forest": forest,
    "board": lambda: board_figure({"plots": [PLOT]}),
    "layer": lambda: plotly_figure({"title": "cost$x$", "plots": [PLOT], "ranks": np.array([1, 2])}, 1, "cost$x$"),
}


@pytest.fixture
def offline():
    """plotly as `draw_offline` leaves it, and afterwards as it was."""
    renderer, default = pio.renderers["plotly_mimetype"], pio.renderers.default
    config = dict(renderer.config)
    draw_offline()
    yield
    renderer.config.clear()
    renderer.config.update(config)
    pio.renderers.default = default


def test_a_figure_of_a_notebook_has_no_button_and_no_logo_that_lead_away(offline):
    shown = go.Figure(go.Bar(y=[1, 2]))._repr_mimebundle_()
    assert set(shown) == {MIME}
    assert shown[MIME]["config"] == {"showSendToCloud": False, "displaylogo": False, "typesetMath": False}


def test_plotly_knows_what_it_is_told(offline, recwarn):
    go.Figure()._repr_mimebundle_()
    assert [str(warning.message) for warning in recwarn if "nrecognized" in str(warning.message)] == []


@pytest.mark.parametrize("name", FIGURES)
def test_our_figures_have_no_button_that_sends_them_away_however_they_are_drawn(name):
    removed = FIGURES[name]().layout.modebar.remove
    assert {"sendChartToCloud", "sendDataToCloud", "editInChartStudio"} <= set(removed)


@pytest.mark.parametrize("name", ["board", "layer"])
def test_no_title_has_a_dollar_that_would_begin_mathematics(name):
    layout = FIGURES[name]().layout
    titles = [layout.title.text or "", *(note.text for note in layout.annotations)]
    assert any("&#36;x&#36;" in title for title in titles)
    assert not any("$" in title for title in titles)


def test_a_text_without_dollars_is_left_as_it_is():
    assert literal("layer1.0.conv1 · ρ²") == "layer1.0.conv1 · ρ²"
