"""Boards, the frames without ranks: what is refused, what a patch changes, what a person sends."""

import numpy as np
import pytest
from browser.demo_board import demo_board

from lrexplore.explorer.panel.arrays import unpack
from lrexplore.explorer.panel.panel import PlotPanel, Point


@pytest.fixture
def board(sent):
    """A panel that shows the demo board; what it sent so far is forgotten."""
    panel = PlotPanel()
    panel.show(demo_board(), value=0.5)
    sent.clear()
    yield panel
    panel.close()


def receive(panel, content):
    panel._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


def plot(panel, plot_id):
    return next(plot for plot in panel.frame["plots"] if plot["id"] == plot_id)


def test_a_patch_is_one_message_and_the_kept_frame_has_it(board, sent):
    patch = {
        "key": "demo",
        "title": "demo · changed",
        "value": 0.7,
        "slider": {"min": 0.2},
        "readouts": {"error": {"value": 0.1, "note": "your inputs"}},
        "plots": {
            "ranks": {"data": {0: {"y": np.array([1.0, 0.5, 0.25])}}, "layout": {"yaxis": {"type": "log"}}},
            "front": {"data": [{"type": "scatter", "x": [1.0], "y": [2.0]}], "caption": "One point."},
            "images": {"images": {0: {"notes": ["now: a cat"], "mark": "same"}}},
        },
    }
    assert board.amend(patch)
    assert [message.names for message in sent.to(board)] == [{"patch"}]
    assert board.frame["title"] == "demo · changed"
    assert board.frame["slider"] == demo_board()["slider"] | {"min": 0.2}
    assert board.frame["readouts"][0] == demo_board()["readouts"][0] | {"value": 0.1, "note": "your inputs"}
    np.testing.assert_array_equal(unpack(plot(board, "ranks")["data"][0]["y"]), [1.0, 0.5, 0.25])
    assert plot(board, "ranks")["layout"] == {"yaxis": {"range": [0, 1.05], "type": "log"}}
    assert plot(board, "front")["data"] == [{"type": "scatter", "x": [1.0], "y": [2.0]}]
    assert plot(board, "front")["caption"] == "One point."
    assert plot(board, "images")["images"][0]["notes"] == ["now: a cat"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda board: board.pop("title"), "`frame` must have 'title'"),
        (lambda board: board["readouts"][0].pop("value"), "`readouts` 'error' of a board must have a `value`"),
        (lambda board: board["slider"].update(max=0.1), "`slider` must have `min` below `max`"),
        (lambda board: board["plots"][1].update(rank_axis=True), "`plots` 'heat' of a board must have no ranks"),
        (lambda board: board["plots"][0]["drags"].update(steps=np.arange(2)), "one of `steps` a bar"),
        (lambda board: board["plots"][2].update(drags=board["plots"][0]["drags"]), "must name a bar trace"),
    ],
)
def test_a_board_whose_parts_do_not_fit_is_refused_and_the_panel_stays_as_it_was(board, sent, change, message):
    broken, before = demo_board(), board.frame
    change(broken)
    with pytest.raises(ValueError, match=message):
        board.show(broken)
    assert board.frame is before
    assert sent.messages == []


def test_a_click_and_a_drag_call_back_with_the_point(board):
    points = []
    board.on_point(points.append)
    receive(board, {"type": "point", "plot": "heat", "trace": 0, "index": [1, 2], "x": "head", "y": 0.5})
    receive(board, {"type": "point", "plot": "ranks", "trace": 0, "index": 1, "x": "body", "y": 0.25, "step": 16})
    receive(board, {"type": "cancel"})
    assert points == [Point("heat", 0, [1, 2], "head", 0.5), Point("ranks", 0, 1, "body", 0.25, 16)]


def test_the_slider_of_the_browser_reaches_observers(board):
    seen = []
    board.observe(lambda change: seen.append(change.new), "value")
    board.set_state({"value": 0.3})
    assert seen == [0.3]
