"""What a cell displays: kept while it is shown, ended when the cell shows the next one, ended as garbage."""

import gc
import sys
import threading
import weakref
from types import SimpleNamespace

import pytest
from explorer.networks import linear_network

import lrexplore as lr
from lrexplore.explorer.work import cells


@pytest.fixture
def run_cell(monkeypatch):
    """A function that makes the next run of a cell the one of now."""
    parent = {}
    shell = SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda channel: parent))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(cells, "_cells", {})
    runs = iter(range(100))

    def run(cell: str | None) -> None:
        parent.update(header={"msg_id": str(next(runs))}, metadata={"cellId": cell} if cell else {})

    return run


class Shown:
    def __init__(self):
        self.ended = False

    def end(self):
        self.ended = True


def test_a_cell_that_runs_again_ends_what_it_displayed_before(run_cell):
    first, second, third = Shown(), Shown(), Shown()
    run_cell("a")
    cells.remember(first)
    cells.remember(second)
    assert not first.ended, "one run may display two"
    run_cell("a")
    cells.remember(third)
    assert (first.ended, second.ended, third.ended) == (True, True, False)


def test_what_another_cell_displays_or_the_same_again_goes_on(run_cell):
    first, second = Shown(), Shown()
    run_cell("a")
    cells.remember(first)
    run_cell("b")
    cells.remember(first)
    run_cell("a")
    cells.remember(second)
    assert not first.ended
    run_cell("b")
    cells.remember(first)
    assert not first.ended


def test_where_the_cell_is_not_known_nothing_is_ended(run_cell):
    first, second = Shown(), Shown()
    for thing in (first, second):
        run_cell(None)
        cells.remember(thing)
    assert not first.ended
    assert cells.cell_of_now() is None


def test_ten_runs_of_a_cell_leave_one_worker_and_one_network(run_cell):
    before, models = set(threading.enumerate()), []
    for _ in range(10):
        run_cell("a")
        model = linear_network()
        models.append(weakref.ref(model))
        out = explorer = lr.explore(model)  # as IPython's history, `out` holds the last one
        cells.remember(explorer)
    del model
    mine = set(threading.enumerate()) - before
    for thread in mine:
        if thread is not explorer.layer_tab._worker._thread:
            thread.join(60)
    assert len([thread for thread in mine if thread.is_alive()]) == 1
    gc.collect()
    assert [model for model in models if model() is not None] == models[-1:]
    out.close()


def test_an_explorer_that_nothing_refers_to_ends(sent):
    before = set(threading.enumerate())
    explorer = lr.explore(linear_network())
    thread = explorer.layer_tab._worker._thread
    explorer.page("Network")
    explorer.page("Training")
    del explorer
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert set(threading.enumerate()) <= before


def test_an_explorer_whose_widget_is_shown_lives_on(sent):
    widget = lr.explore(linear_network()).widget
    gc.collect()
    assert widget.comm is not None
    widget.explorer.close()
    assert widget.comm is None


def test_an_explorer_that_was_replaced_says_so():
    explorer = lr.explore(linear_network())
    explorer.end()
    explorer.end()
    explorer.close()
    with pytest.raises(AttributeError, match="`state` must be asked of an explorer that is displayed"):
        _ = explorer.state
    with pytest.raises(AttributeError, match="`layer_tab` must be asked"):
        explorer.table()
