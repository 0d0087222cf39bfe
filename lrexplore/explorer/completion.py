"""The long work behind a frame: exact numbers of the rank on screen, then the curves that need every rank run anew."""

import time
from functools import partial

from lrexplore.explorer.compute import Stopped
from lrexplore.explorer.frame import key_of
from lrexplore.explorer.network import Choice
from lrexplore.explorer.screen import Screen
from lrexplore.explorer.state import State
from lrexplore.explorer.worker import Token
from lrexplore.init import NESTED

UPDATE_S = 0.12


class Completion:
    """Makes the worker's jobs; tells the state how far they are, and the screen what they found."""

    def __init__(self, screen: Screen, state: State):
        self._screen, self._state = screen, state
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
        stopped = key_of(choice, initializer) == self._stopped
        if not (stopped and initializer == "sampled"):  # one rank of it is long work already
            study = self._screen.study(choice)
            if initializer == "sampled" and study.errors_at(initializer, rank) is None:
                self._state.tell(f"sampled: rank {rank}", 0.0)
            try:
                for name in ("spectral", initializer):
                    study.add(name, rank, token.cancelled)
            except Stopped:
                return
            self._screen.amend(choice, initializer, initializer)
            self._screen.send_row(choice, initializer, rank)
        if stopped:
            return
        for name in dict.fromkeys((initializer, "function")):
            if name not in NESTED:
                self._fill(choice, initializer, name, rank, token)

    def _fill(self, choice: Choice, drawn: str, name: str, rank: int, token: Token) -> None:
        sent = started = time.monotonic()
        study, lock = self._screen.study(choice), self._screen.lock
        total = len(study.table_ranks)
        for share in study.fill(name, rank, token.cancelled):
            with lock:
                if time.monotonic() - sent > UPDATE_S and not token.cancelled():
                    sent = time.monotonic()
                    self._screen.amend(choice, drawn, name)
                    done = total - len(study.missing(name, rank))
                    self._state.tell(f"{name}: {done} of {total} ranks, others interpolated", min(share, 0.999))
        with lock:
            if token.cancelled():
                return
            self._screen.amend(choice, drawn, name)
            self._state.tell("", 1.0)
        if name == drawn and study.has_pictures and sent > started:
            self._screen.show_again(choice, drawn)
