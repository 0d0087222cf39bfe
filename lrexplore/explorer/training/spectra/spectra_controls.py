"""The row of the spectra: what is mapped, whose spectrum is drawn, and the slider over time with Play."""

from collections.abc import Callable, Sequence

import ipywidgets as w

from lrexplore.explorer.pickers import ROW, WIDE, Bound, picker
from lrexplore.explorer.training.spectra.spectra_figures import SPECTRA_QUANTITIES
from lrexplore.explorer.training.state import LATEST, TrainingState
from lrexplore.explorer.work.locked_state import LockedWidget


class _Slider(LockedWidget, w.IntSlider):
    """A place in time; at its end it stays at the latest."""


class SpectraControls:
    """`box` is shown where the selected run has spectra. What a choice raises goes to `on_error`."""

    def __init__(self, state: TrainingState, on_error: Callable[[BaseException], None]):
        self._state, self._moving = state, False
        self.quantity = picker(
            "of all layers", SPECTRA_QUANTITIES, "What the map of all layers over time shows", "300px"
        )
        self.layer = picker("spectrum of", ("",), "Whose singular values are drawn", "260px")
        self._bound = Bound(state, {"spectra_quantity": self.quantity, "spectrum_layer": self.layer}, on_error)
        self.slider = _Slider(
            min=0, max=0, description="recorded moment", readout=False, style=WIDE, layout={"width": "340px"},
            tooltip="When: the spectrum as it was then; at the right end the latest",
        )  # fmt: skip
        self.slider.share(state.lock)
        self.play = w.Play(min=0, max=0, interval=250, show_repeat=False, tooltip="Go through the moments")
        self._link = w.jslink((self.play, "value"), (self.slider, "value"))
        self.said = w.Label()
        self.slider.observe(self._on_slider, names="value")
        state.observe(self._on_moment, names="moment")
        row = [self.quantity, self.layer, self.slider, self.play, self.said]
        self.box = w.HBox(row, layout={**ROW, "display": "none"})

    def offer(self, layers: Sequence[str], steps: Sequence[int]) -> None:
        """Offer these layers and moments; nothing is shown where there are none."""
        self.box.layout.display = None if steps else "none"
        if not steps:
            return
        self._bound.offer("spectrum_layer", tuple(dict.fromkeys(("", *layers, self._state.spectrum_layer))))
        self._moving = True
        try:
            last = len(steps) - 1
            self.slider.max = self.play.max = last
            self.slider.value = at = min(self._state.moment, last)
            self.said.value = f"step {steps[at]:,}"
        finally:
            self._moving = False

    def close(self) -> None:
        """Unbind and close the widgets."""
        if self.box.comm is None:
            return
        self._bound.close()
        self._state.unobserve(self._on_moment, names="moment")
        self._link.unlink()
        for child in (*self.box.children, self.box):
            child.close()

    def _on_slider(self, change) -> None:
        if not self._moving:
            self._state.moment = LATEST if change["new"] >= self.slider.max else change["new"]

    def _on_moment(self, change) -> None:
        self.slider.value = min(change["new"], self.slider.max)
