"""The Network tab: binds what is chosen for the whole network, its plans, the board and the controls."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets

from lrexplore.calibration import implies_inputs
from lrexplore.explorer.layer.state import LAYER, State
from lrexplore.explorer.network.budget_slider import BudgetSlider
from lrexplore.explorer.network.compute import Allocation, full_ranks
from lrexplore.explorer.network.controls import NetworkControls
from lrexplore.explorer.network.frame import Board
from lrexplore.explorer.network.judge import Judge
from lrexplore.explorer.network.long_work import Work
from lrexplore.explorer.network.requests import Request, measuring, saving, searching, taking, tuning
from lrexplore.explorer.network.state import CHOICES, NetworkState, Wish, initializers_for
from lrexplore.explorer.own_images import OwnImages, of_person, of_uploads, said
from lrexplore.explorer.panel.panel import Point
from lrexplore.explorer.real_inputs import YOURS
from lrexplore.explorer.samples import Origin
from lrexplore.explorer.subject import Subject
from lrexplore.explorer.work.shown import error_text, shown
from lrexplore.explorer.work.worker import Worker
from lrexplore.ranks import METHODS, SENSITIVITY, RankPlan

REST_S = 0.6


class NetworkTab:
    """A page of the explorer. `state` has the traits to set, observe and link; `panel` is the board.

    `training` gives the tab that starts runs, `share` tells the other tabs of inputs that were taken here.
    """

    def __init__(
        self,
        explorer_state: State,
        subject: Subject,
        origin: Origin,
        share: Callable[[Origin], None] = lambda origin: None,
        training: Callable[[], Any] | None = None,
    ):
        self._explorer_state, self._subject, self._share = explorer_state, subject, share
        self._training = training
        self._allocation = Allocation(subject.model, origin)
        self._judge = Judge(self._allocation)
        self.state = NetworkState(
            subject,
            lambda wish: self._allocation.check(wish),
            own_inputs=origin.loader is not None and (origin.weights is not None or implies_inputs(subject.model)),
        )
        self._lock = self.state.lock
        self._board = Board(subject, self._allocation, self._judge)
        self.panel = self._board.panel
        self.panel.share(self._lock)
        self._work = Work(self.state, self._allocation, self._judge, self._board, self._lock, self._tell, self._draw)
        self._worker = Worker(self._on_failure, grace_s=0.0, rest_s=REST_S)
        buttons = {
            "pin": self._pin, "keep": self._keep, "unpin": self._unpin, "unpin_all": self._unpin_all,
            "see": self._see, "search": self._search, "measure": self._measure, "save": self._save, "tune": self._tune,
            "resume": self._resume, "images": self._use_folder,
        }  # fmt: skip
        self.controls = NetworkControls(self.state, subject.whole_network, origin.source, buttons, self.show_error)
        self.controls.rank.share(self._lock)
        self.controls.upload.on_files(self._use_files)
        self.widget = ipywidgets.VBox([self.controls.box, self.panel])
        self._good: Wish | None = None
        self._is_restoring = False
        self.state.observe(self._on_state, names=[*CHOICES, "pinned"])
        self.state.observe(self._show_rank, names="layer")
        self.state.observe(self._on_num_judged, names="num_judged")
        self._slider = BudgetSlider(self.panel, self.state, self._lock, self.show_error)
        self.panel.on_point(self._on_point)
        self.panel.on_cancel(self._on_cancel)
        self._board.wait(self.state.wish)
        self._allow()
        self._start()

    def plan(self) -> RankPlan:
        """The plan on screen; what it needs is computed first."""
        if not self._allocation.ready(self.state.wish):
            self._worker.wait()
        wish = self.state.wish
        if not self._allocation.ready(wish):  # cancelled
            self._allocation.prepare(wish, lambda *done: None)
        return self._allocation.plan(wish)

    def take_inputs(self, origin: Origin) -> None:
        """Other inputs are the person's own from now on, and chosen; all that was computed on others is dropped."""
        with self._lock:
            self._allocation = Allocation(self._subject.model, origin)
            self._judge = Judge(self._allocation)
            self._judge.num_wanted = self.state.num_judged
            self._board.renew(self._allocation, self._judge)
            self._work.renew(self._allocation, self._judge)
            self._good = None
            self.controls.offer_inputs(origin.source, said(origin))
            if self.state.inputs != YOURS:
                self._assign(inputs=YOURS, initializer=initializers_for(YOURS)[0], weights=self._weights(origin))
            self.panel.error = ""
            self._board.wait(self.state.wish)
            self._allow()
            self._start()

    def _weights(self, origin: Origin) -> str:
        """What layers count on inputs of the person's own: what a trained network says, if it is one."""
        is_trained = origin.weights is not None or self.state.implies_inputs
        return SENSITIVITY if is_trained else self.state.weights

    def _assign(self, **values) -> None:
        """Choose without beginning to work for it."""
        self._is_restoring = True
        try:
            self.state.assign(**values)
        finally:
            self._is_restoring = False

    def wait(self, time_limit_s: float | None = None) -> bool:
        """Block until nothing is left to compute; whether that came about in time."""
        return self._worker.wait(time_limit_s)

    def close(self) -> None:
        """Stop the worker and close the widgets."""
        self._worker.close()
        self.controls.close()
        self.panel.close()
        self.widget.close()

    def show_error(self, error: BaseException) -> None:
        """Show an error in this page's error area."""
        self.panel.error = error_text(error)

    @shown
    def _on_state(self, change) -> None:
        with self._lock:
            if change["name"] == "ratio":
                self._slider.follow()
            self.panel.error = ""
            self._work.say("")
            if self._ready():
                self._draw()
            else:
                self._board.wait(self.state.wish)
            self._allow()
            if not self._is_restoring:
                self._start()  # under the lock: what runs for an earlier choice shows nothing more

    @shown
    def _on_num_judged(self, change) -> None:
        with self._lock:
            self._judge.num_wanted = self.state.num_judged
            self._work.resume()
            if self._ready():
                self._board.show_verdict(self.state.wish)
            self._start()

    def _draw(self) -> None:
        wish = self.state.wish
        try:
            self._allocation.plan(wish)
        except ValueError as error:  # could not be checked when it was chosen: the curves were not there
            smallest = self._allocation.smallest(wish)
            self.state.ratio = smallest
            self.show_error(ValueError(f"{error} The budget is now {smallest:g}."))
            return
        self._board.show(wish)
        self._good = wish
        self._show_rank()
        self._allow()

    @shown
    def _on_point(self, point: Point) -> None:
        if not self._ready():  # it was sent before the plots were dimmed
            return
        if point.plot == "front":
            if point.trace < len(METHODS):
                self.state.method = METHODS[point.trace]
                self.state.ratio = min(1.0, round(float(point.x) + 5e-5, 4))
            return
        self.state.layer = str(point.x)
        self.controls.open()
        if point.plot == "heat":
            full = self._full_rank(self.state.layer)
            self.state.pin(self.state.layer, int(full_ranks(full)[point.index[0]]))
        elif point.step is not None:
            self.state.pin(self.state.layer, point.step)

    @shown
    def _on_cancel(self) -> None:
        with self._lock:
            self._worker.cancel()
            stays = self._good is None or self._ready()
            if not stays:
                self._restore(self._good)
            self._work.stop()
            self._allow(stopped=True)
            what = "what is on screen stays as far as it is" if stays else "back to what was computed before"
            self._tell(f"cancelled: {what}", 1.0)

    @shown
    def _pin(self) -> None:
        self.state.pin(self.state.layer, min(self.controls.rank.value, self._full_rank(self.state.layer)))

    @shown
    def _keep(self) -> None:
        self.state.pin(self.state.layer, None)

    @shown
    def _unpin(self) -> None:
        self.state.unpin(self.state.layer)

    @shown
    def _unpin_all(self) -> None:
        self.state.unpin()

    @shown
    def _see(self) -> None:
        if not self._ready():  # it was pressed before the buttons were off
            return
        rank = _ranks(self.plan()).get(self.state.layer)
        with self._explorer_state.lock:
            self._explorer_state.layer = self.state.layer
            if rank is not None:
                self._explorer_state.rank = min(rank, self._explorer_state.max_rank)
        self._explorer_state.tab = LAYER

    @shown
    def _search(self) -> None:
        least = self.controls.agreement.value / 100
        self._ask(lambda: searching(self.state, self._judge, self._lock, least))

    @shown
    def _measure(self) -> None:
        self._ask(lambda: measuring(self.state, self._allocation))

    @shown
    def _save(self) -> None:
        path, overwrite = self.controls.path.value, self.controls.overwrite.value
        self._ask(lambda: saving(self.state, self._allocation, path, overwrite=overwrite))

    @shown
    def _use_folder(self) -> None:
        self._take(of_person(self.controls.folder.value))

    @shown
    def _use_files(self, files: list[tuple[str, bytes]], left_out: list[str]) -> None:
        self._take(of_uploads(files, left_out))

    def _take(self, images: Callable[..., OwnImages]) -> None:
        """Have images read in the background and taken, here and by whoever shares them."""
        origin = self._allocation.origin

        def take(other: Origin) -> None:
            self._share(other)
            self.take_inputs(other)

        with self._lock:
            self.panel.error = ""
            self._work.ask(taking(images, origin, self._subject.model, take, self._refuse))
            self._start()

    def _refuse(self, error: Exception) -> None:
        with self._lock:
            self.show_error(error)

    @shown
    def _tune(self) -> None:
        if self._training is None:
            raise ValueError("`model` must be shown by `lr.explore` to be fine-tuned, got a tab alone. Open it there.")
        tab = self._training()
        self._ask(lambda: tuning(self.state, self._allocation, Path(tab.state.folder) / "starts", self._start_tuning))

    def _start_tuning(self, **choices) -> str:
        """The name of the run that was started."""
        assert self._training is not None
        return self._training().finetune(**choices).name

    @shown
    def _resume(self) -> None:
        with self._lock:
            self._work.resume()
            self._allow()
            self._start()

    def _ask(self, request: Callable[[], Request]) -> None:
        with self._lock:
            if not self._ready():  # it was pressed before the buttons were off
                return
            self.panel.error = ""
            self._work.ask(request())
            self._start()

    def _start(self) -> None:
        self._worker.submit(self._work.job)

    def _ready(self) -> bool:
        return self._allocation.ready(self.state.wish)

    def _allow(self, *, stopped: bool = False) -> None:
        self.controls.allow(plan=self._ready(), resume=stopped)

    def _full_rank(self, name: str) -> int:
        return self._subject.full_rank(name, self.state.scheme)

    def _show_rank(self, change=None) -> None:
        """The chosen layer's rank on screen, in the box beside it."""
        full = self._full_rank(self.state.layer)
        rank = full
        if self._good is not None:
            rank = _ranks(self._allocation.plan(self._good)).get(self.state.layer, full)
        with self.controls.rank.hold_sync():
            self.controls.rank.max, self.controls.rank.value = full, rank

    def _tell(self, status: str, progress: float) -> None:
        with self.panel.hold_sync():
            self.panel.status, self.panel.progress = status, progress
            self.panel.busy = progress < 1

    def _on_failure(self, error: BaseException) -> None:
        with self._lock:
            self._tell("", 1.0)
            self.show_error(error)
            if self._good is not None and not self._ready():
                self._restore(self._good)

    def _restore(self, wish: Wish) -> None:
        """Back to what was on screen: what was chosen since cannot be had."""
        message, self._is_restoring = self.panel.error, True
        try:
            self.state.take(wish)
        finally:
            self._is_restoring = False
            self.panel.error = message


def _ranks(plan: RankPlan) -> dict[str, int]:
    """The ranks of a plan, of layers and of heads."""
    return plan.ranks | plan.heads
