"""The Layer tab: binds what is chosen for one layer, its studies, the panel and the controls."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import ipywidgets
from torch import Tensor, nn

from lrexplore.explorer.layer.calibrating import Calibrating
from lrexplore.explorer.layer.completion import UPDATE_S, Completion
from lrexplore.explorer.layer.compute import Study
from lrexplore.explorer.layer.controls import Controls
from lrexplore.explorer.layer.frame import compact, key_of
from lrexplore.explorer.layer.outputs import curve_table, plotly_figure
from lrexplore.explorer.layer.screen import Screen
from lrexplore.explorer.layer.state import KNOWN, LAYER, State
from lrexplore.explorer.layer.words import summary
from lrexplore.explorer.panel import export
from lrexplore.explorer.panel.panel import Point
from lrexplore.explorer.pictures.layer_picture import draw_png
from lrexplore.explorer.real_inputs import YOURS
from lrexplore.explorer.samples import Origin
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.explorer.work.shown import error_text, shown
from lrexplore.explorer.work.threads import spare_cores
from lrexplore.explorer.work.worker import Worker
from lrexplore.init import INITIALIZERS
from lrexplore.linalg import Factors
from lrexplore.network import replace_layers
from lrexplore.network.attention.head_layers import HeadLayer, is_head
from lrexplore.ranks import factorize

OBSERVED = (
    "layer", "rank", "initializer", "scheme", "form", "activation", "batch_norm", "inputs", *KNOWN.values(), "heads_by"
)  # fmt: skip


class LayerTab:
    """The explorer's first page. `state` has the traits to set, observe and link; `widget` is what is displayed.

    `on_complete()` is called from the worker's thread when nothing is left to compute for what is on screen.
    """

    def __init__(self, subject: Subject, tabs: tuple[str, ...] = (LAYER,), initializer: str = "function"):
        self.subject = subject
        self.state = State(subject, tabs)
        self.state.initializer = initializer
        self.on_complete: Callable[[], None] = lambda: None
        self.training_tab: Callable[[], Any] | None = None  # of the explorer that this tab is one of
        self._lock = self.state.lock
        self._screen = Screen(subject, self.state)
        self.panel = self._screen.panel
        self._completion = Completion(self._screen, self.state, lambda: self.on_complete())
        self._worker = Worker(self._on_failure)
        self.controls = Controls(self.state, subject, self._resume, self.show_error)
        self.widget = ipywidgets.VBox([self.controls.box, self.panel])
        self._draw()
        self._calibrating = Calibrating(self._screen, self.state, self._on_failure)
        self.state.observe(self._on_state, names=OBSERVED)
        self.state.observe(self._on_progress, names=["status", "progress"])
        self.panel.observe(self._on_panel, names=["layer", "rank"])
        self.panel.on_cancel(self._on_cancel)
        self.panel.on_point(self._on_point)

    def table(self):
        """DataFrame of the curves on screen: layer, scheme, initializer, rank, both errors, costs as ratios."""
        with self._lock:
            choice = self.state.choice
            return curve_table(self.subject, self.study(), choice, self._screen.time(choice))

    def figure(self):
        """A plain plotly Figure of what is on screen, at the current rank."""
        with self._lock:
            return plotly_figure(self._current_frame(), self.state.rank, self.heading())

    def picture(self) -> bytes:
        """PNG bytes of what is on screen, at the current rank."""
        with self._lock:
            frame, rank, heading = self._current_frame(), self.state.rank, self.heading()
        return draw_png(frame, rank, heading)

    def heading(self) -> str:
        """Which network, layer, initializer and rank are on screen."""
        of = "best factors" if is_head(self.subject.layers[self.state.layer]) else self.state.initializer
        choice = f"{of} at rank {self.state.rank}"
        return f"{self.subject.name} · {choice} · {self.panel.frame['title']}"

    def to_html(self, path, *, layers: Iterable[str] | None = None):
        """Path of a self-contained page written; `layers` names more layers to take along. All are completed first."""
        shown, rank = self.state.layer, self.state.rank
        choices = {name: self._choice_of(name) for name in dict.fromkeys([shown, *(layers or ())])}
        self._worker.cancel()  # what it has found stays found; two would do everything twice
        self._worker.wait()
        try:
            with spare_cores():
                frames = self._completed(choices)
                self.state.tell("page: stable ranks of all layers", 0.0)
                self._screen.complete_table(lambda: False)
        finally:
            self.state.tell("", 1.0)
            self._start()
        state = {"table": self.panel.table, "layer": shown, "rank": rank, "frame": frames[shown]}
        return export.to_html(state, path, f"lrexplore · {summary(self.subject)}", frames=frames)

    def _completed(self, choices: Mapping[str, Choice]) -> dict[str, dict]:
        """The frames of these layers' choices with all of their curves; the status says how far they are."""
        frames, initializer, told = {}, self.state.initializer, 0.0
        for number, (name, choice) in enumerate(choices.items()):
            study, place = self.study(choice), f"{name}, layer {number + 1} of {len(choices)}"
            to_fill = study.to_fill(initializer)
            for filled, one in enumerate(to_fill):
                for share in study.fill(one, self.state.rank_of(name), lambda: False):
                    if time.monotonic() - told > UPDATE_S:
                        told = time.monotonic()
                        done = (number + (filled + share) / len(to_fill)) / len(choices)
                        self.state.tell(f"page: {one} of {place}", min(done, 0.999))
            self.state.tell(f"page: time of {place}", (number + 0.99) / len(choices))
            self._screen.measure_form(choice, initializer, lambda: False)
            self._screen.measure_time(choice, initializer, lambda: False)
            frames[name] = compact(self._screen.frame(choice, initializer))
        return frames

    def factors(self) -> Factors:
        """The factors on screen; of a grouped layer, its first group's."""
        with self._lock:
            factors = self.study().factors(self.state.initializer, self.state.rank)
        # Clones: autograd refuses tensors made in inference mode.
        return replace(factors, **{name: x.clone() for name, x in vars(factors).items() if isinstance(x, Tensor)})

    def ranks(self) -> dict[str, int]:
        """The rank chosen for each layer: as set by hand, else by the rank scale where that saves parameters.

        Attention heads are among them where they were set by hand; the projections of their attention are then not.
        """
        with self._lock:
            scheme, by_hand = self.state.scheme, self.state.ranks_by_hand
            chosen = {name: self.state.rank_of(name, scheme) for name in self.subject.names}
        layers = self.subject.layers
        ranks = {
            name: rank for name, rank in chosen.items()
            if name in by_hand or (rank <= layers[name].break_even_rank(scheme) and not is_head(layers[name]))
        }  # fmt: skip
        steps = {name: layers[name].rank_step for name in ranks}
        return self.subject.exclusive(
            {name: max(steps[name], rank - rank % steps[name]) for name, rank in ranks.items()}
        )

    def factorized_model(self) -> nn.Module:
        """A copy of the model with the ranks of `ranks()`, in the scheme and initializer on screen."""
        with self._lock:
            ranks, initializer, scheme = self.ranks(), self.state.initializer, self.state.scheme
            calibration = None if initializer in INITIALIZERS else self.subject.real.of(self.state.choice.inputs)
        heads = {name: rank for name, rank in ranks.items() if is_head(self.subject.layers[name])}
        ranks = {name: rank for name, rank in ranks.items() if name not in heads}
        if heads:
            of_heads = self.subject.real.calibration if self.state.inputs == YOURS else calibration
            return factorize(
                self.subject.model, ranks=ranks, heads=heads, initializer=initializer, scheme=scheme,
                calibration=of_heads, correct_norms=False,
            )  # fmt: skip
        return replace_layers(
            self.subject.model, ranks=ranks, initializer=initializer, scheme=scheme, calibration=calibration
        )

    def study(self, choice: Choice | None = None) -> Study:
        """The study of a choice, by default of the one on screen."""
        return self._screen.study(choice or self.state.choice)

    def take_inputs(self, origin: Origin) -> None:
        """Other inputs are the person's own from now on: calibrated on at once where such are on screen."""
        with self._lock:
            self.subject.real = self.subject.real.of_others(origin)
            self.controls.offer_inputs(origin.source)
            self._calibrating.renew()

    def wait(self, time_limit_s: float | None = None) -> bool:
        """Block until the inputs are calibrated and the curves on screen complete; whether that came about in time."""
        until = None if time_limit_s is None else time.monotonic() + time_limit_s
        done = self._calibrating.wait(time_limit_s)
        return self._worker.wait(None if until is None else max(until - time.monotonic(), 0)) and done

    def show_error(self, error: BaseException) -> None:
        """Show an error in this tab's error area."""
        self.panel.error = error_text(error)

    def close(self) -> None:
        """Stop the workers and close the widgets."""
        self._worker.close()
        self._calibrating.close()
        self.controls.close()
        self._screen.close()
        self.widget.close()

    def _choice_of(self, name: str) -> Choice:
        if name == self.state.layer:
            return self.state.choice
        if name not in self.subject.names:
            raise ValueError(
                f"`layers` must name layers that can be factorized, got {name!r}. Choose from `explorer.ranks()`."
            )
        detected = self.subject.layers[name].follows
        has_norm = detected.batch_norm is not None
        return self.subject.choice(
            name, self.state.scheme, detected.activation, has_norm, self.state.inputs, self.state.form
        )

    def _current_frame(self) -> dict:
        return self._screen.frame(self.state.choice, self.state.initializer)

    def _draw(self) -> None:
        """Show the frame of what is chosen, and have the worker complete it."""
        with self._lock:
            self._completion.resume()
            self.controls.offer_resume(False)
            self._screen.show(self.state.choice, self.state.initializer, self.state.rank)
            self._start()

    @shown
    def _on_state(self, change) -> None:
        with self._lock:
            self.panel.error = ""
            is_new = key_of(self.state.choice, self.state.initializer) != self._screen.drawn
            if is_new or (change["name"] == "heads_by" and is_head(self.subject.layers[self.state.layer])):
                self._draw()
            elif change["name"] == "rank":
                self.panel.rank = self.state.rank
                self._start()

    @shown
    def _on_panel(self, change) -> None:
        with self._lock:
            if change["name"] == "rank":
                self.state.rank = min(max(change["new"], 1), self.state.max_rank)
                self.panel.rank = self.state.rank
            elif change["new"]:
                try:
                    self.state.layer = change["new"]
                finally:  # one that is refused must not stay on the panel
                    self.panel.layer = self.state.layer

    @shown
    def _on_point(self, point: Point) -> None:
        """A click on the map of heads chooses that one."""
        with self._lock:
            layer = self.subject.layers[self.state.layer]
            if point.plot == "heads" and isinstance(layer, HeadLayer):
                row, column = point.index
                name = self._screen.heads(layer.kind).names[row][column]
                if name:
                    self.state.layer = name

    @shown
    def _on_progress(self, change) -> None:
        with self._lock:
            self.panel.set_trait(change["name"], change["new"])
            self.panel.busy = self.state.progress < 1

    @shown
    def _on_cancel(self) -> None:
        with self._lock:
            self._worker.cancel()
            self._completion.stop()
            self._calibrating.cancel()
            self.controls.offer_resume(True)
            self.state.tell("cancelled: the curves stay as far as they are", 1.0)

    @shown
    def _resume(self) -> None:
        with self._lock:
            self._completion.resume()
            self.controls.offer_resume(False)
            self.state.tell("", 1.0)
            self._start()

    def _on_failure(self, error: BaseException) -> None:
        with self._lock:
            self.state.tell("", 1.0)
            self.show_error(error)

    def _start(self) -> None:
        self._worker.submit(self._completion.job(self.state.choice, self.state.initializer, self.state.rank))
