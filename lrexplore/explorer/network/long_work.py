"""The Network tab's long work: whatever is missing for what is on screen, in the order in which a person needs it."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch

from lrexplore.explorer.network.compute import Allocation, Progress
from lrexplore.explorer.network.frame import Board
from lrexplore.explorer.network.judge import Judge
from lrexplore.explorer.network.requests import Request
from lrexplore.explorer.network.state import NetworkState, Wish
from lrexplore.explorer.work.threads import spare_cores
from lrexplore.explorer.work.worker import Stopped, Token
from lrexplore.ranks import METHODS

UPDATE_S, CURVES_S = 0.12, 0.25


class Work:
    """`job` is for the worker; `tell(status, progress)` and `draw()` are called under `lock`."""

    def __init__(
        self,
        state: NetworkState,
        allocation: Allocation,
        judge: Judge,
        board: Board,
        lock: AbstractContextManager,
        tell: Callable[[str, float], None],
        draw: Callable[[], None],
    ):
        self._state, self._allocation, self._judge, self._board = state, allocation, judge, board
        self._lock, self._tell, self._draw = lock, tell, draw
        self._requests: list[Request] = []
        self._stopped: Wish | None = None
        self._fronts: tuple | None = None
        self._said = ""
        self._without_samples = False

    def ask(self, request: Request) -> None:
        """Do this too, after what was asked for before; of two about one choice each, only the later."""
        with self._lock:
            kept = [other for other in self._requests if request.wish is None or other.wish is None]
            self._requests, self._stopped = [*kept, request], None

    def renew(self, allocation: Allocation, judge: Judge) -> None:
        """Work with these from now on; what was asked for on other inputs is forgotten."""
        with self._lock:
            self._allocation, self._judge = allocation, judge
            self._requests, self._stopped, self._fronts, self._without_samples = [], None, None, False

    def say(self, text: str) -> None:
        """What the status says once nothing is left to do."""
        self._said = text

    def stop(self) -> None:
        """Leave what is on screen as far as it is, until something else is chosen."""
        with self._lock:
            self._requests, self._stopped = [], self._state.wish

    def resume(self) -> None:
        """Go on with what is on screen."""
        self._stopped = None

    def job(self, token: Token) -> None:
        """Everything that is missing; returns early once the token is cancelled."""
        sent = 0.0

        def progress(done: int, total: int, what: str) -> None:
            nonlocal sent
            with self._lock:
                if token.cancelled():
                    raise Stopped
                if time.monotonic() - sent > UPDATE_S:
                    sent = time.monotonic()
                    self._tell(f"{what}: {done} of {total}", min(max(done / max(total, 1), 0.001), 0.999))

        try:
            with self._lock:
                wish = self._state.wish
            with spare_cores(), torch.no_grad():
                self._run(wish, progress)
        except Stopped:
            pass

    def _run(self, wish: Wish, progress: Progress) -> None:
        for request in [one for one in self._requests if one.is_first]:
            self._said = request.run(progress)
            self._forget(request)
            progress(1, 1, "read")
        if wish == self._stopped:
            return
        allocation = self._allocation  # the tab may get another one meanwhile, and then stops this
        if not allocation.ready(wish):
            allocation.prepare(wish, self._drawing_curves(wish, progress))
            self._redraw(progress)
        while self._requests:
            self._do(self._requests[0], progress)
        if not self._without_samples:
            self._look_at_samples(progress)
        quick = allocation.plan(wish)
        if quick.gap:
            progress(0, 1, "closing the gap to the best plan")
            if allocation.plan(wish, thorough=True) != quick:
                self._redraw(progress)
        if not self._without_samples:
            self._judge.verdict(wish, progress)
            self._shown(progress, lambda: self._board.show_verdict(wish))
        self._draw_fronts(wish, progress)
        self._shown(progress, lambda: self._tell(self._said, 1.0))

    def _drawing_curves(self, wish: Wish, progress: Progress) -> Progress:
        """`progress` that also draws the curves found so far, not too often."""
        drawn, drawn_s = len(self._allocation.errors(wish)), time.monotonic()

        def progress_and_draw(done: int, total: int, what: str) -> None:
            nonlocal drawn, drawn_s
            with self._lock:
                progress(done, total, what)
                num_curves = len(self._allocation.errors(wish))
                if num_curves > drawn and time.monotonic() - drawn_s >= CURVES_S:
                    self._board.show_curves(wish)
                    drawn, drawn_s = num_curves, time.monotonic()

        return progress_and_draw

    def _do(self, request: Request, progress: Progress) -> None:
        try:
            self._said = request.run(progress)
        except Stopped:
            with self._lock:
                if request.wish not in (None, self._state.wish) and request in self._requests:
                    self._forget(request)
                    self._said = "the search was given up, for another choice was made: press its button again"
            raise
        except Exception:
            self._forget(request)  # else it would fail again with every choice
            raise
        self._forget(request)
        self._redraw(progress)

    def _forget(self, request: Request) -> None:
        with self._lock:
            self._requests = [other for other in self._requests if other is not request]

    def _look_at_samples(self, progress: Progress) -> None:
        if self._judge.known(None) is not None:
            return
        progress(0, 1, "gathering sample inputs")
        try:
            self._judge.original(progress)
        except (ValueError, ModuleNotFoundError) as error:
            self._without_samples, reason = True, str(error)
            self._shown(progress, lambda: self._board.tell_no_samples(reason))
        else:
            self._redraw(progress)

    def _draw_fronts(self, wish: Wish, progress: Progress) -> None:
        wanted = (*wish.curves, wish.weights, wish.budget, wish.pins, self._judge.known(None) is not None)
        if wanted == self._fronts:
            return
        for method in METHODS:
            front = self._allocation.front(wish, method, progress)
            self._shown(progress, lambda method=method, front=front: self._board.show_front({method: front}))
        self._fronts = wanted

    def _redraw(self, progress: Progress) -> None:
        self._shown(progress, self._draw)

    def _shown(self, progress: Progress, show: Callable[[], None]) -> None:
        """Put something on screen, unless something else was chosen meanwhile."""
        with self._lock:
            progress(1, 1, "drawing")
            show()
