"""The training tab: runs listed, followed, compared, started, stopped. What it starts outlives it."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import ipywidgets as w

from lrexplore.explorer.panel import export
from lrexplore.explorer.panel.board_patch import patch_between
from lrexplore.explorer.panel.panel import PlotPanel
from lrexplore.explorer.pictures.board_figure import board_figure
from lrexplore.explorer.pictures.board_picture import draw_board_png
from lrexplore.explorer.pictures.displayed import Displayed
from lrexplore.explorer.training.controls import TrainingControls
from lrexplore.explorer.training.form import BY_HAND, TrainingForm
from lrexplore.explorer.training.frame import build_board, run_table
from lrexplore.explorer.training.listed import Listed
from lrexplore.explorer.training.runs import RunWatch, shipped_records
from lrexplore.explorer.training.spectra.spectra_controls import SpectraControls
from lrexplore.explorer.training.state import TrainingState
from lrexplore.explorer.work.shown import error_text, shown
from lrexplore.explorer.work.ticker import Ticker
from lrexplore.ranks import RankPlan

NUM_CLASSES = {"fashion-mnist": 10, "fashion-mnist-full": 10}
LIVE_S, QUIET_S = 0.4, 3.0
BEHIND_S = 0.05  # between two parts of what is read for the first time
RANKS, LENGTHS = ("rank_scale", "rank_ratio", "plan"), ("epochs", "steps")
DRAWN = ("grouping", "baseline", "axis", "step_quantity", "epoch_quantity", "layer", "smoothing", "log_x", "log_y",
         "spectra_quantity", "spectrum_layer", "moment")  # fmt: skip


def watch(folder: str | Path = "runs") -> "TrainingTab":
    """The runs of a folder, followed live and compared: leave it last in a notebook cell to see it.

    The folder need not exist yet. `lr.explore` has the same in its tab "Training".

    >>> tab = lr.watch("runs")
    >>> tab.close()
    """
    return TrainingTab(folder)


class TrainingTab(Displayed):
    """`widget` is displayed; `state` has the traits to set, observe and link. `poll()` looks at the runs once.

    While it is on screen a daemon thread does so every .4 s if a run is live, else every 3 s for new ones; hidden, it
    rests. In Google Colab, which shows nothing that a thread sends, "look again" is the way.
    `model` is the network that the form offers; `plan` gives the ranks that a person set by hand, if there are any.
    """

    def __init__(
        self, folder: str | Path = "runs", *, model: str = "resnet20", plan: Callable[[str], RankPlan] | None = None
    ):
        super().__init__(self._picture)
        self.state = TrainingState(folder=str(folder))
        self._lock, self._plan = self.state.lock, plan
        self._watch = RunWatch(self.state.folder)
        self._frame: dict[str, Any] = {}
        self._visible = True
        shipped = shipped_records()
        self.panel = PlotPanel(value=self.state.smoothing)
        self.panel.share(self._lock)
        folders = [Path("runs"), *([shipped] if shipped else [])]
        self.controls = TrainingControls(self.state, folders, self.show_error)
        self.spectra = SpectraControls(self.state, self.show_error)
        self.form = TrainingForm(model, by_hand=plan is not None)
        self._box = w.VBox([self.controls.source, self.form.box, self.controls.box, self.spectra.box, self.panel])
        self.controls.new.observe(lambda change: self.form.show(change["new"]), names="value")
        self._ticker = Ticker(self._tick, self.show_error)
        self.panel.observe(self._on_panel, names=["checked", "layer", "value"])
        self.state.observe(self._on_folder, names="folder")
        self.state.observe(self._on_choice, names=["checked", "selected", *DRAWN])
        for button, handler in (
            (self.controls.refresh, self._on_refresh),
            (self.controls.stop, self._on_stop),
            (self.controls.resume, self._on_resume),
            (self.form.start, self._on_start),
        ):
            button.on_click(handler)
        self._open()

    @property
    def widget(self) -> w.VBox:
        """What is displayed."""
        return self._box

    @property
    def runs(self) -> dict[str, Listed]:
        """The runs of the folder by name, as they were at the last poll."""
        return self._watch.runs

    def poll(self) -> bool:
        """Looks at all runs and reads what the compared ones have written; whether something was new."""
        with self._lock:
            before = set(self.runs)
            listed, rows = self._watch.poll(self._compared())
            if new := [run.name for run in self.runs.values() if run.is_live and run.name not in before]:
                self._check([*self.state.checked, *new])
            if listed or rows:
                self._draw(table=listed)
            if words := self._watch.failures():
                self.panel.error = "\n".join(words)
            return listed or rows

    def show(self, visible: bool) -> None:
        """Whether the tab is in front: hidden, it looks at nothing."""
        self._visible = visible
        if visible:
            self._wake()

    def start(self, **choices) -> Listed:
        """A run that starts with what the form says, these choices winning, and is compared with the others.

        Raises ValueError for a network without a name, and for a name that is taken.
        """
        with self._lock:
            said = self.form.choices()
            by_hand = self.form.ranks.value == BY_HAND and not set(RANKS) & choices.keys()
            for either in (RANKS, LENGTHS):  # one of these takes the place of the others
                if set(either) & choices.keys():
                    said = {name: value for name, value in said.items() if name not in either}
            config = {**said, **choices}
            plan = self._plan(config["scheme"]) if by_hand and self._plan else None
            run = self._watch.start(config, plan)
            self._select(run)
        return run

    def finetune(self, *, model: str, start: str, teacher: str, classes: int, **choices) -> Listed:
        """A run that fine-tunes the network in the file `start`, by the recipe `finetune`, on the form's data and seed.

        The network in the file `teacher` teaches it where its `classes` are as many as those of the data, if that is
        known beforehand.
        """
        with self._lock:
            data = choices.get("data", self.form.choices()["data"])
        taught = {"teacher": teacher} if NUM_CLASSES.get(data, classes) == classes else {}
        recipe = {"recipe": "finetune", "decay": "frobenius", "decay_strength": 1e-4, "epochs": 1.0, "rank_scale": None}
        return self.start(**{"model": model, "start": start, "name": None, **recipe, **taught, **choices})

    def figure(self, *plots: str):
        """A plain plotly Figure of the plots on screen, or of those with these ids: "steps", "epochs", "effective_lr",
        "frobenius_norm", "nuclear_norm", "non_orthogonality"."""
        self.wait()
        return board_figure(self._frame, plots)

    def to_html(self, path) -> Path:
        """Path of the page written: the compared runs and their plots as they are now, without kernel and internet."""
        self.wait()
        with self._lock:
            runs = [self.runs[name] for name in self.state.checked if name in self.runs]
            table = run_table(runs, self.state.folder) | {"checks": False}
            frame = {name: value for name, value in self._frame.items() if name != "slider"}
            frame["readouts"] = frame["readouts"][:1]  # the others, and the slider, need a kernel
            state = {"table": table, "layer": self.state.selected, "frame": frame}
            return export.to_html(state, path, f"lrexplore · training runs in {self.state.folder}")

    def stop(self, name: str | None = None) -> None:
        """Asks a run, by default the selected one, to end with a checkpoint."""
        with self._lock:
            self._watch.stop(self.state.selected if name is None else name)
            self._draw(table=True)
        self._wake()

    def resume(self, name: str | None = None) -> None:
        """Goes on with a run, by default the selected one, from its last checkpoint."""
        with self._lock:
            self._select(self._watch.resume(self.state.selected if name is None else name))

    def show_error(self, error: BaseException) -> None:
        """Show an error in the tab's error area."""
        self.panel.error = error_text(error)

    def close(self) -> None:
        """End the thread and close the widgets. Runs go on."""
        self.forget_cells()
        self._ticker.close()
        with self._lock:
            self.controls.close()
            self.spectra.close()
            self.form.close()
            self.panel.close()
            self._box.close()

    def wait(self, time_limit_s: float | None = None) -> bool:
        """Whether all that was written so far is on screen, within the time."""
        deadline = float("inf") if time_limit_s is None else monotonic() + time_limit_s
        while self._watch.is_behind and monotonic() < deadline:
            self.poll()
        return not self._watch.is_behind

    def end(self) -> None:
        """Close: another one is displayed in the place of this one."""
        self.close()

    def text(self) -> str:
        """What is displayed, in one line."""
        return f"Training runs in {self.state.folder}: {len(self.runs)}"

    def _picture(self) -> bytes:
        with self._lock:
            return draw_board_png(self._frame)

    def _open(self) -> None:
        """Lists the folder anew, and compares what is live, or else the newest arms that differ in one choice."""
        with self._lock:
            self._watch, self._frame = RunWatch(self.state.folder), {}
            self.state.selected = ""
            self._check(self._watch.first_choice())
            self.state.selected = self.state.checked[0] if self.state.checked else ""
            self._draw(table=True)
        self._wake()

    def _check(self, names: list[str]) -> None:
        self.state.checked = list(dict.fromkeys(names))

    def _select(self, run: Listed) -> None:
        self._check([*self.state.checked, run.name])
        self.state.selected = run.name
        self._draw(table=True)
        self._wake()

    def _compared(self) -> list[Listed]:
        return self._watch.compared(self.state.checked, self.state.baseline, self.state.selected)

    def _draw(self, *, table: bool = False) -> None:
        """Bring the panel up to date; what is drawn already is amended."""
        runs = list(self.runs.values())
        self._watch.curves.follow(self._compared())
        self.controls.offer(self._watch.curves.layers(), [run.name for run in runs if run.state != "unreadable"])
        chosen = self.runs.get(self.state.selected)
        moments = self._watch.curves.moments(chosen) if chosen is not None else None
        self.spectra.offer(moments.names if moments else (), moments.steps if moments else ())
        frame = build_board(runs, self.state, self._watch.curves)
        patch = patch_between(self._frame, frame)
        with self.panel.hold_sync():
            if table:
                self.panel.table = run_table(runs, self.state.folder)
            self.panel.checked, self.panel.layer = self.state.checked, self.state.selected
            self.panel.value = self.state.smoothing
            if patch is None:
                self.panel.show(frame)
            elif patch:
                self.panel.amend(patch)
        self._frame = frame
        self.controls.allow(stop=bool(chosen and chosen.can_stop), resume=bool(chosen and chosen.can_resume))

    def _wake(self) -> None:
        if self._visible:
            self._ticker.wake()

    def _tick(self) -> float | None:
        if not self._visible:
            return None
        self.poll()
        return BEHIND_S if self._watch.is_behind else LIVE_S if self._watch.any_live else QUIET_S

    @shown
    def _on_panel(self, change) -> None:
        name = {"checked": "checked", "layer": "selected", "value": "smoothing"}[change["name"]]
        setattr(self.state, name, change["new"])

    @shown
    def _on_folder(self, change) -> None:
        self._open()

    @shown
    def _on_choice(self, change) -> None:
        with self._lock:
            self._draw()

    @shown
    def _on_refresh(self, button) -> None:
        self.panel.error = ""
        if not self.poll():
            self._wake()

    @shown
    def _on_start(self, button) -> None:
        self.panel.error = ""
        self.start()

    @shown
    def _on_stop(self, button) -> None:
        self.stop()

    @shown
    def _on_resume(self, button) -> None:
        self.panel.error = ""
        self.resume()
