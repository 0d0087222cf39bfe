"""The explorer's tabs: the layer first, then pages that are made when they are first opened.

Each page's panel sends its script again, so nothing of a page goes to the browser before a person wants it.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import ipywidgets as w

from lrexplore.explorer.layer.state import LAYER, State
from lrexplore.explorer.layer.tab import LayerTab
from lrexplore.explorer.work.locked_state import LockedWidget


class Page(Protocol):
    """What a tab holds: `widget` is displayed, `close` ends its workers and closes its widgets."""

    widget: w.Widget

    def close(self) -> None:
        """End what the page runs and close its widgets."""


def _network(layer_tab: LayerTab) -> Page:
    from lrexplore.explorer.network.tab import NetworkTab

    origin, training = layer_tab.subject.real.origin, layer_tab.training_tab
    return NetworkTab(layer_tab.state, layer_tab.subject, origin, layer_tab.take_inputs, training)


def _training(layer_tab: LayerTab) -> Page:
    from lrexplore.explorer.training.page import TrainingPage

    return TrainingPage(layer_tab)


PAGES: dict[str, Callable[..., Page]] = {"Network": _network, "Training": _training}
"""Title of a tab -> function of the `LayerTab` that makes its page. A page imports what it needs when it is made."""


class _Tab(LockedWidget, w.Tab):
    """The tabs themselves."""


class Tabs:
    """The tabs in `widget`, bound to `state.tab`; `pages` has the pages made so far, by title.

    An error in making a page goes to `on_error`; the tab opened before comes back.
    """

    def __init__(
        self,
        state: State,
        layer: w.Widget,
        makers: Mapping[str, Callable[[], Page]],
        on_error: Callable[[BaseException], None],
    ):
        self._state, self._makers, self._on_error = state, {LAYER: None, **makers}, on_error
        self.pages: dict[str, Page] = {}
        self._places = {title: w.VBox() for title in makers}
        self.widget = _Tab([layer, *self._places.values()], titles=[LAYER, *makers])
        self.widget.share(state.lock)
        self.widget.observe(self._on_tab, names="selected_index")
        state.observe(self._on_state, names="tab")

    def page(self, title: str) -> Page:
        """The page of a tab, made if it is not yet."""
        if title not in self.pages:
            page = self._makers[title]()
            self.pages[title] = page
            self._places[title].children = [page.widget]
        return self.pages[title]

    def close(self) -> None:
        """Close all pages and the tabs; what the layer's tab holds is left to its owner."""
        if self._makers:
            self._state.unobserve(self._on_state, names="tab")
        self._makers = {}
        while self.pages:
            self.pages.popitem()[1].close()
        for widget in (*self._places.values(), self.widget):
            widget.close()

    def _on_tab(self, change) -> None:
        if change["new"] is not None:
            self._state.tab = self.widget.titles[change["new"]]

    def _on_state(self, change) -> None:
        title = change["new"]
        try:
            if title != LAYER:
                self.page(title)
        except Exception as error:
            self._state.tab = change["old"]
            self._on_error(error)
        else:
            self.widget.selected_index = self.widget.titles.index(title)
