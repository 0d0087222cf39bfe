"""What a notebook shows of a page: its widget while a kernel runs, and a picture of it wherever none does."""

import base64
from abc import ABC, abstractmethod
from collections.abc import Callable
from html import escape
from uuid import uuid4

import ipywidgets

from lrexplore.explorer.work.cells import cell_of_now, forget, remember

STILL_LIMIT_S = 120.0
# A widget that is alive draws itself: its picture is for where there is none. `.lrx` is the panel's root.
HTML = """<style>body:has(.lrx) :is(.lrx-still, .jp-OutputArea-child:has(.lrx-still)) {{ display: none; }}</style>
<img class="lrx-still" alt="{text}" style="max-width: 100%" src="data:image/png;base64,{picture}">"""


class Still:
    """The picture in an output of its own beside the widget, so that renewing it leaves the widget alone."""

    def __init__(self, draw: Callable[[], bytes]):
        self.draw = draw
        self._text, self._places = "", []

    def show(self, text: str) -> None:
        """Display the picture as it is now, hidden while the widget lives."""
        from IPython.display import display

        self._text = text
        place = uuid4().hex
        if bundle := self._bundle():
            display(bundle, raw=True, display_id=place)
            self._places = [*self._places, place]

    def renew(self) -> None:
        """Take the picture again, wherever it is displayed."""
        if self._places and (bundle := self._bundle()):
            from IPython.display import update_display

            for place in self._places:
                update_display(bundle, raw=True, display_id=place)

    def _bundle(self) -> dict:
        png = self.draw()
        if not png:
            return {}
        picture = base64.b64encode(png).decode("ascii")
        page = HTML.format(text=escape(self._text), picture=picture)
        return {"text/html": page, "image/png": picture, "text/plain": self._text}


class Displayed(ABC):
    """A page that a cell can show.

    A cell that displays one ends those that it displayed when it ran before, unless another cell shows them too.
    """

    def __init__(self, draw: Callable[[], bytes]):
        self.still = Still(draw)

    @property
    @abstractmethod
    def widget(self) -> ipywidgets.Widget:
        """What is displayed."""

    @abstractmethod
    def text(self) -> str:
        """What is displayed, in one line."""

    @abstractmethod
    def wait(self, time_limit_s: float | None = None) -> bool:
        """Block until nothing is computed; whether that came about in time."""

    @abstractmethod
    def end(self) -> None:
        """Called when no cell shows it any more."""

    def forget_cells(self) -> None:
        """No cell keeps this any more."""
        forget(self)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """The widget, the picture of it and its words."""
        bundle = self._view()
        picture = self.still.draw()
        return bundle | ({"image/png": base64.b64encode(picture).decode("ascii")} if picture else {})

    def _ipython_display_(self) -> None:
        from IPython.display import display

        remember(self)
        view = self._view()
        if cell_of_now() is None:  # run by nbconvert and its like, which are gone before a picture is renewed
            self.wait(STILL_LIMIT_S)
        display(view, raw=True)
        self.still.show(view["text/plain"])

    def _view(self) -> dict:
        bundle = self.widget._repr_mimebundle_()
        bundle = dict(bundle[0] if isinstance(bundle, tuple) else bundle or {})
        return bundle | {"text/plain": self.text()}
