"""The tabs: pages are made when they are first opened, and closed with the explorer."""

import ipywidgets
import pytest
from traitlets import TraitError

from lrexplore.explorer.pages import PAGES


class MadeUpPage:
    def __init__(self):
        self.widget, self.closed = ipywidgets.Label("a page"), False

    def close(self):
        self.closed = True
        self.widget.close()


@pytest.fixture
def made(monkeypatch):
    """Pages made so far; "Made up" is a tab, and "Broken" one that cannot be made."""
    pages = []

    def make(explorer):
        pages.append(MadeUpPage())
        return pages[-1]

    def fail(explorer):
        raise ValueError("`page` must be one that can be made, got another.")

    monkeypatch.setitem(PAGES, "Made up", make)
    monkeypatch.setitem(PAGES, "Broken", fail)
    return pages


@pytest.fixture
def tabs(made, open_explorer):
    """An explorer, and its widget of tabs."""
    explorer = open_explorer()
    return explorer, explorer.widget.children[1]


def test_the_layer_is_on_screen_first_and_no_other_page_is_made(tabs, made):
    explorer, tab = tabs
    assert (explorer.state.tab, tab.selected_index, made) == ("Layer", 0, [])
    assert explorer.panel in tab.children[0].children


def test_a_tab_opened_in_the_browser_is_made_once(tabs, made):
    explorer, tab = tabs
    place = tab.titles.index("Made up")
    tab.set_state({"selected_index": place})
    assert explorer.state.tab == "Made up"
    assert tab.children[place].children == (made[0].widget,)
    tab.set_state({"selected_index": 0})
    tab.set_state({"selected_index": place})
    assert len(made) == 1


def test_a_tab_opened_in_a_cell_is_the_one_on_screen(tabs, made):
    explorer, tab = tabs
    explorer.state.tab = "Made up"
    assert tab.titles[tab.selected_index] == "Made up"
    assert len(made) == 1


def test_an_unknown_tab_is_refused_and_nothing_moves(tabs):
    explorer, tab = tabs
    with pytest.raises(TraitError, match=r"`tab` must be one of Layer, .*got 'nope'"):
        explorer.state.tab = "nope"
    assert (explorer.state.tab, tab.selected_index) == ("Layer", 0)


def test_a_page_that_cannot_be_made_is_told_and_the_tab_before_comes_back(tabs):
    explorer, tab = tabs
    tab.set_state({"selected_index": tab.titles.index("Broken")})
    assert "`page` must be one that can be made" in explorer.panel.error
    assert (explorer.state.tab, tab.selected_index) == ("Layer", 0)
    explorer.panel.error = ""


def test_pages_are_closed_with_the_explorer(tabs, made):
    explorer, _ = tabs
    explorer.state.tab = "Made up"
    explorer.close()
    assert made[0].closed
