"""Pickers, boxes and buttons as every tab has them, and what makes them one with the traits of a state."""

from collections.abc import Callable, Mapping, Sequence

import ipywidgets as w
from traitlets import TraitError

from lrexplore.explorer.real_inputs import GAUSSIAN, IMPLIED, YOURS
from lrexplore.explorer.samples import SAMPLE_PHOTOGRAPHS
from lrexplore.explorer.work.locked_state import LockedState, LockedWidget

WIDE = {"description_width": "initial"}
ROW = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "0 10px"}


class Picker(LockedWidget, w.Dropdown):
    """A dropdown. What the browser chose of options that are there no longer is nobody's choice."""

    def set_state(self, sync_data) -> None:
        """Called with what the browser has sent."""
        with self.lock:
            index = sync_data.get("index")
            if index is None or index < len(self.options):
                super().set_state(sync_data)
            else:
                self.send_state("index")


class Box(LockedWidget, w.Checkbox):
    """A check box."""


class WholeNumber(LockedWidget, w.BoundedIntText):
    """A whole number in a range."""


class Typed(LockedWidget, w.Combobox):
    """A line of text with suggestions."""


def picker(label: str, options, tooltip: str, width: int | str, narrowest: int | None = None) -> Picker:
    """A dropdown; `width` in px, down to `narrowest` where a row would not hold it."""
    layout = _layout(width, narrowest)
    return Picker(options=tuple(options), description=label, tooltip=tooltip, style=WIDE, layout=layout)


def _layout(width: int | str, narrowest: int | None = None) -> dict[str, str]:
    size = f"{width}px" if isinstance(width, int) else width
    if narrowest is None:
        return {"width": size}
    return {"width": "auto", "flex": f"1 1 {narrowest}px", "min_width": "0", "max_width": size}


def inputs_picker(tooltip: str, source: str, narrowest: int | None = None, *, implied: bool = False) -> Picker:
    """The dropdown of the inputs; see `input_options`."""
    return picker("inputs", input_options(source, implied=implied), tooltip, 320, narrowest)


def input_options(source: str, *, implied: bool) -> list[tuple[str, str]]:
    """Labels and values of the inputs; `source` says what "yours" are: without a loader they are nobody's."""
    label = source if source == SAMPLE_PHOTOGRAPHS else f"{YOURS}: {source}"
    between = [("implied by batch norm", IMPLIED)] if implied else []
    return [(GAUSSIAN, GAUSSIAN), *between, (label, YOURS)]


def box(label: str, tooltip: str, width: int | str, narrowest: int | None = None) -> Box:
    """A check box; `width` in px as of `picker`."""
    return Box(description=label, tooltip=tooltip, indent=False, layout=_layout(width, narrowest))


def button(label: str, tooltip: str, icon: str = "") -> w.Button:
    """A button as wide as its label."""
    return w.Button(description=label, tooltip=tooltip, icon=icon, layout={"width": "auto"})


def escape(text: str) -> str:
    """The text as HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


class Bound:
    """Controls that are one with the traits of a state of the same names.

    A choice that the state refuses goes back, and to `on_error`.
    """

    def __init__(
        self,
        state: LockedState,
        controls: Mapping[str, LockedWidget],
        on_error: Callable[[BaseException], None],
    ):
        self._state, self._controls, self._on_error = state, dict(controls), on_error
        for name, control in self._controls.items():
            control.share(state.lock)
            control.value = getattr(state, name)
            control.observe(self._choose, names="value")
        state.observe(self._follow, names=list(self._controls))

    def offer(self, name: str, options: Sequence) -> None:
        """Offer other options, of which what is chosen is one; nothing once they are unbound."""
        control = self._controls.get(name)
        if control is not None and control.options != tuple(options):
            control.unobserve(self._choose, names="value")  # new options choose the first one: nobody's choice
            control.options = tuple(options)
            control.value = getattr(self._state, name)
            control.observe(self._choose, names="value")

    def close(self) -> None:
        """Unbind them; they stay."""
        if self._controls:
            self._state.unobserve(self._follow, names=list(self._controls))
        while self._controls:
            self._controls.popitem()[1].unobserve(self._choose, names="value")

    def _choose(self, change) -> None:
        name = next(name for name, control in self._controls.items() if control is change["owner"])
        if change["new"] is None or change["new"] == getattr(self._state, name):
            return
        try:
            setattr(self._state, name, change["new"])
        except TraitError as error:
            change["owner"].value = getattr(self._state, name)
            self._on_error(ValueError(str(error)))

    def _follow(self, change) -> None:
        control = self._controls.get(change["name"])
        value = getattr(self._state, change["name"])
        options = control.options if isinstance(control, Picker) else [value]
        if value in [option[1] if isinstance(option, tuple) else option for option in options]:
            control.value = value
