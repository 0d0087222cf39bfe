"""A board amended is the board that it was amended to."""

import numpy as np
import pytest

from lrexplore.explorer.panel.board_patch import patch_between
from lrexplore.explorer.panel.frames import pack_arrays
from lrexplore.explorer.panel.panel import PlotPanel


def board(y=(1.0, 2.0), name="a", value=3.0, title="Training · 1 run", caption="It grows.", **more):
    trace = {"type": "scatter", "name": name, "x": np.arange(len(y), dtype=np.float32), "y": np.array(y, np.float32)}
    plot = {"id": "loss", "label": "Loss", "caption": caption, "data": [trace], "layout": {}, **more}
    still = {"id": "still", "label": "Still", "caption": "", "data": [{"x": np.ones(2, np.float32)}], "layout": {}}
    readout = {"id": "best", "label": "best", "value": value, "note": "n"}
    return {"key": "training", "board": True, "title": title, "readouts": [readout], "plots": [plot, still]}


CHANGES = {
    "longer": {"y": (1.0, 2.0, 4.0)},
    "a readout": {"value": 5.0},
    "words": {"title": "Training · 2 runs", "caption": "It falls."},
    "a layout": {"layout": {"xaxis": {"type": "log"}}},
    "all": {"y": (), "value": None, "title": "x", "caption": ""},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_patched_panel_shows_what_a_new_frame_would(change):
    panel = PlotPanel()
    panel.show(board())
    assert panel.amend(patch_between(board(), board(**change)))
    assert panel.frame == pack_arrays(board(**change))
    panel.close()


def test_only_what_changed_is_sent():
    patch = patch_between(board(), board(y=(1.0, 3.0)))
    assert patch["plots"].keys() == {"loss"}
    assert patch["plots"]["loss"]["data"]["0"].keys() == {"y"}
    assert patch["readouts"] == {}


def test_nothing_new_is_no_patch():
    assert patch_between(board(), board()) == {}
    assert patch_between(board(y=(1.0, np.nan)), board(y=(1.0, np.nan))) == {}


@pytest.mark.parametrize("other", [{"name": "b"}, {"id": "top1"}, {"label": "Else"}], ids=["trace", "plot", "label"])
def test_another_form_is_a_new_frame(other):
    assert patch_between(board(), board(**other)) is None
    assert patch_between({}, board()) is None
