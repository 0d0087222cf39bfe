"""The budget as a panel's slider has it and as the state has it: one number, whichever of both is moved."""

from contextlib import AbstractContextManager

from lrexplore.explorer.network.state import NetworkState
from lrexplore.explorer.panel.panel import PlotPanel
from lrexplore.explorer.work.shown import shown


class BudgetSlider:
    """Takes the slider's value to `state.ratio`; `follow`, called under `lock`, takes it back.

    What drawing or another thread does meanwhile is never taken for the person's choice. `show_error` gets what the
    state refuses; the slider then stands where it was.
    """

    def __init__(self, panel: PlotPanel, state: NetworkState, lock: AbstractContextManager, show_error):
        self._panel, self._state, self._lock, self.show_error = panel, state, lock, show_error
        self._following = False
        panel.value = state.ratio
        panel.observe(self._on_value, names="value")

    def follow(self) -> None:
        """Put the slider where the state is."""
        self._following = True
        try:
            self._panel.value = self._state.ratio
        finally:
            self._following = False

    @shown
    def _on_value(self, change) -> None:
        with self._lock:
            if self._following:
                return
            try:
                self._state.ratio = round(change["new"], 4)
            finally:  # it was refused, or rounded
                self.follow()
