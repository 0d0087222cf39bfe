"""Plain figures of what the training tab shows, and of intervals."""

import numpy as np
import pandas as pd
import pytest
from explorer.recorded import record

from lrexplore.explorer.pictures.board_figure import forest_figure
from lrexplore.explorer.training.tab import TrainingTab


@pytest.fixture
def tab(tmp_path):
    for initializer in ("function", "spectral"):
        record(tmp_path / initializer, initializer=initializer)
    record(tmp_path / "whole", rank_scale=None)
    opened = TrainingTab(tmp_path)
    opened.show(False)
    yield opened
    opened.close()


def test_a_figure_has_the_curves_of_the_tab_under_one_legend(tab):
    figure = tab.figure("epochs", "effective_lr")
    assert [title.text for title in figure.layout.annotations] == [
        "Held-out top-1",
        "Effective learning rate, median of all layers",
    ]
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(shown) == ["baseline: unfactorized", "function", "spectral"]
    (line,) = [trace for trace in figure.data if trace.name == "function" and trace.showlegend]
    np.testing.assert_array_equal(line.y, [75, 80])


def test_a_figure_of_everything_has_all_plots(tab):
    tab.state.layer = "every layer of the selected run"
    figure = tab.figure()
    assert len(figure.layout.annotations) == 6
    assert sum(trace.type == "heatmap" for trace in figure.data) == 4


def test_an_unknown_plot_is_refused(tab):
    with pytest.raises(ValueError, match="`plots` must name plots on screen, got 'moon'.*epochs"):
        tab.figure("moon")
    tab.state.checked = []
    with pytest.raises(ValueError, match="Compare some runs first"):
        tab.figure()


def test_a_forest_has_an_interval_a_row_and_hollow_markers_where_0_lies_inside():
    rows = {"decay": ["frobenius", "weight"], "mean": [1.0, 0.2], "low": [0.5, -0.3], "high": [1.5, 0.7]}
    table = pd.DataFrame({**rows, "pairs": [3, 4], "seeds": [3, 2], "separated": [True, False]})
    (trace,) = forest_figure(table, ["decay"], "function − spectral", "points").data
    assert list(trace.y) == ["frobenius (3 seeds)", "weight (4 pairs of 2 seeds)"]
    assert list(trace.marker.symbol) == ["circle", "circle-open"]
    np.testing.assert_allclose(trace.x + trace.error_x.array, rows["high"])
    np.testing.assert_allclose(trace.x - trace.error_x.arrayminus, rows["low"])
