"""The long work behind a frame: exact numbers of the rank on screen, then the curves that need every rank run anew."""

import time
from collections.abc import Callable, Iterable
from functools import partial

from lrexplore.explorer.layer.frame import key_of
from lrexplore.explorer.layer.heads.head_study import HeadStudy
from lrexplore.explorer.layer.screen import Screen
from lrexplore.explorer.layer.state import State
from lrexplore.explorer.subject import Choice
from lrexplore.explorer.work.threads import spare_cores
from lrexplore.explorer.work.worker import Stopped, Token

UPDATE_S = 0.12


class Completion:
    """Makes the worker's jobs; tells the state how far they are, and the screen what they found.

    `on_complete()` is called when there is nothing left to do.
    """

    def __init__(self, screen: Screen, state: State, on_complete: Callable[[], None]):
        self._screen, self._state, self._on_complete = screen, state, on_complete
        self._stopped = ""

    def job(self, choice: Choice, initializer: str, rank: int):
        """A job that completes the frame of a choice, to be called with a `Token`."""
        return partial(self._complete, choice, initializer, rank)

    def stop(self) -> None:
        """Leave the curves of the frame on screen as they are, until another frame comes."""
        self._stopped = self._screen.drawn

    def resume(self) -> None:
        """Forget an earlier `stop`."""
        self._stopped = ""

    def _complete(self, choice: Choice, initializer: str, rank: int, token: Token) -> None:
        with spare_cores():
            stopped = key_of(choice, initializer) == self._stopped
            is_known = isinstance(self._screen.study(choice), HeadStudy)
            if not is_known and not (stopped and self._screen.study(choice).is_slow(initializer)):
                try:
                    self._exact(choice, initializer, rank, token)
                except Stopped:
                    return
            if stopped:
                return
            token.waive_grace()
            if is_known:
                self._tell_done(token)
            for name in self._screen.study(choice).to_fill(initializer):
                self._fill(choice, initializer, name, rank, token)
            self._screen.measure_form(choice, initializer, token.cancelled)
            # What follows nobody waits for: it begins once the person does nothing else.
            if token.cancelled() or token.pause():
                return
            self._screen.measure_time(choice, initializer, token.cancelled)
            self._screen.complete_table(token.cancelled)
            if not token.cancelled():
                self._raise_floor(choice, initializer, rank, token)
            if not token.cancelled():
                self._on_complete()

    def _exact(self, choice: Choice, initializer: str, rank: int, token: Token) -> None:
        """The numbers of exactly this rank: the neurons at once, for they are what is waited for."""
        study = self._screen.study(choice)
        is_new = not study.num_known(initializer) and not study.nested
        if study.is_slow(initializer) and study.errors_at(initializer, rank) is None:
            self._state.tell(f"{initializer}: rank {rank}", 0.0)
        for name in ("spectral", initializer):
            study.add(name, rank, token.cancelled)
        if is_new:
            self._screen.show_again(choice, initializer)
        self._screen.send_row(choice, initializer, rank)
        self._screen.amend(choice, initializer, initializer)

    def _fill(self, choice: Choice, drawn: str, name: str, rank: int, token: Token) -> None:
        study = self._screen.study(choice)
        before, total = len(study.missing(name, rank)), len(study.table_ranks)

        def tell() -> str:
            missing = len(study.missing(name, rank))
            self._screen.amend(choice, drawn, name, tables=not missing)
            return f"{name}: {total - missing} of {total} ranks"

        done = self._follow(study.fill(name, rank, token.cancelled), tell, token)
        if done and before and name == drawn and (study.has_pictures or not study.nested):
            self._screen.show_again(choice, drawn)

    def _raise_floor(self, choice: Choice, drawn: str, rank: int, token: Token) -> None:
        floor = self._screen.study(choice).floor
        if floor is None or not floor.missing(rank):
            return

        def tell() -> str:
            self._screen.raise_floor(choice, drawn)
            return "floor: proving what no factorization can do better"

        self._follow(floor.fill(rank, token.cancelled), tell, token)

    def _follow(self, shares: Iterable[float], tell: Callable[[], str], token: Token) -> bool:
        """Whether the work came to its end; `tell` sends what is new and says how far it is, not too often."""
        sent, lock = time.monotonic(), self._screen.lock
        for share in shares:
            with lock:
                if time.monotonic() - sent > UPDATE_S and not token.cancelled():
                    sent = time.monotonic()
                    self._state.tell(tell(), min(share, 0.999))
        with lock:
            if token.cancelled():
                return False
            tell()
            self._tell_done(token)
        return True

    def _tell_done(self, token: Token) -> None:
        """Take away what a job that was cancelled for this one had said of itself."""
        with self._screen.lock:
            if not token.cancelled():
                self._state.tell("", 1.0)
