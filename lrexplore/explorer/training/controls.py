"""The pickers of the training tab, bound to its state's traits, and the row that names the folder of runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets as w

from lrexplore.explorer.pickers import ROW, WIDE, Bound, Typed, box, button, picker
from lrexplore.explorer.training.compute import MEDIAN
from lrexplore.explorer.training.figures import EPOCH_QUANTITIES, STEP_QUANTITIES
from lrexplore.explorer.training.groups import GROUPINGS
from lrexplore.explorer.training.series import AXES
from lrexplore.explorer.training.state import EVERY_LAYER, NO_BASELINE, UNFACTORIZED_RUNS, TrainingState


class TrainingControls:
    """`source`: the folder, look again, stop, go on, new run. `box`: what is drawn, over what, how runs are grouped.

    What a choice raises goes to `on_error`.
    """

    def __init__(self, state: TrainingState, folders: Sequence[Path], on_error: Callable[[BaseException], None]):
        self._state = state
        self.folder = Typed(
            options=tuple(map(str, folders)),
            description="folder of runs",
            tooltip="The folder that holds a folder for each run; the run's own folder will do as well",
            continuous_update=False,
            style=WIDE,
            layout={"width": "420px"},
        )
        self.refresh = button("look again", "Look for new runs now", "refresh")
        self.stop = button("stop", "End the selected run after its present step, with a checkpoint", "stop")
        self.resume = button("go on", "Start the selected run again from its last checkpoint", "play")
        self.new = w.ToggleButton(
            description="new run …", icon="plus", layout={"width": "auto"},
            tooltip="Show or hide the choices of a run to start",
        )  # fmt: skip
        self.step_quantity = picker("each step", STEP_QUANTITIES, "What is drawn of every step", "205px")
        self.epoch_quantity = picker("each epoch", EPOCH_QUANTITIES, "What is drawn of every epoch", "245px")
        self.layer = picker("layer", (MEDIAN, EVERY_LAYER), "Whose norms and effective rate are drawn", "270px")
        self.grouping = picker("one curve for", GROUPINGS, "Which choice the runs of a curve share", "235px")
        self.baseline = picker("baseline", (NO_BASELINE, UNFACTORIZED_RUNS), "Drawn dashed and gray", "230px")
        self.axis = picker("over", AXES, "What lies along x; time is time spent in training steps", "125px")
        self.log_x = box("log x", "Logarithmic x axes", "70px")
        self.log_y = box("log y", "Logarithmic y axes, where all values are above 0", "70px")
        pickers = ("step_quantity", "epoch_quantity", "layer", "grouping", "baseline", "axis", "log_x", "log_y")
        self._bound = Bound(state, {name: getattr(self, name) for name in ("folder", *pickers)}, on_error)
        self.source = w.HBox([self.folder, self.refresh, self.stop, self.resume, self.new], layout=ROW)
        self.box = w.HBox([getattr(self, name) for name in pickers], layout=ROW)

    def offer(self, layers: Sequence[str], runs: Sequence[str]) -> None:
        """Offer these layers and, as baseline, these runs; what is chosen stays on offer."""
        for name, fixed, names in (
            ("layer", (MEDIAN, EVERY_LAYER), layers),
            ("baseline", (NO_BASELINE, UNFACTORIZED_RUNS), runs),
        ):
            self._bound.offer(name, tuple(dict.fromkeys((*fixed, *names, getattr(self._state, name)))))

    def allow(self, *, stop: bool, resume: bool) -> None:
        """Whether the selected run can be stopped, and whether it can go on."""
        self.stop.disabled, self.resume.disabled = not stop, not resume

    def close(self) -> None:
        """Unbind and close the widgets."""
        self._bound.close()
        for row in (self.source, self.box):
            for child in (*row.children, row):
                child.close()
