"""The row of the spectra: what is mapped, whose spectrum is drawn, and when, with Play."""

from collections.abc import Callable, Sequence

import ipywidgets as w

from lrexplore.explorer.pickers import ROW, WIDE, Bound, WholeNumber, button, picker
from lrexplore.explorer.training.spectra.spectra_figures import SPECTRA_QUANTITIES
from lrexplore.explorer.training.state import LATEST, TrainingState
from lrexplore.explorer.work.ticker import Ticker

PLAY, STAY_S = "play", 0.25


class SpectraControls:
    """`box` is shown where the selected run has spectra. What a choice raises goes to `on_error`."""

    def __init__(self, state: TrainingState, on_error: Callable[[BaseException], None]):
        self._state, self._moving = state, False
        self.quantity = picker(
            "of all layers", SPECTRA_QUANTITIES, "What the map of all layers over time shows", "300px"
        )
        self.layer = picker("spectrum of", ("",), "Whose singular values are drawn", "260px")
        self._bound = Bound(state, {"spectra_quantity": self.quantity, "spectrum_layer": self.layer}, on_error)
        # A number, as ipywidgets' sliders and players have no name that a screen reader could say.
        self.slider = WholeNumber(
            min=0, max=0, description="recorded moment", style=WIDE, layout={"width": "190px"},
            tooltip="When: the spectrum as it was then; the last is the latest",
        )  # fmt: skip
        self.slider.share(state.lock)
        self.play = button(PLAY, "Go through the moments, from the first where the last is shown; again: stop", "play")
        self.play.on_click(self._toggle)
        self._ticker = Ticker(self._advance, on_error)
        self.is_playing = False
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
            self.slider.max = last
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
        self._ticker.close()
        for child in (*self.box.children, self.box):
            child.close()

    def _toggle(self, pressed: w.Button) -> None:
        self._show_playing(not self.is_playing and self.slider.max > 0)
        if self.is_playing and self.slider.value == self.slider.max:
            self.slider.value = 0
        self._ticker.wake()

    def _advance(self) -> float | None:
        """Goes to the next moment; how long to stay there, None at the last one and where it was stopped."""
        if self.is_playing and self.slider.value < self.slider.max:
            self.slider.value += 1
            return STAY_S
        self._show_playing(False)
        return None

    def _show_playing(self, is_playing: bool) -> None:
        self.is_playing = is_playing
        self.play.description, self.play.icon = ("stop", "stop") if is_playing else (PLAY, "play")

    def _on_slider(self, change) -> None:
        if not self._moving:
            self._state.moment = LATEST if change["new"] >= self.slider.max else change["new"]

    def _on_moment(self, change) -> None:
        self.slider.value = min(change["new"], self.slider.max)
