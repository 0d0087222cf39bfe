"""Being asked to end: by SIGTERM, SIGINT or a function, and at once where a run only waits."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

STOPPED = 130
_GRACE_S = 4.0  # of the 5 s in which a run ends


class Stopped(BaseException):
    """Raised where a run waits and is asked to end."""


class Stop:
    """Whether a run is asked to end: calling it says so. `waiting()` encloses what may be left at any moment."""

    def __init__(self, asked: Callable[[], bool] = lambda: False):
        self._asked = asked
        self.last_words: Callable[[], None] = lambda: None

    def __call__(self) -> bool:
        return self._asked()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """In it, being asked to end raises Stopped."""
        yield


class StopSignal(Stop):
    """True once the process was asked to end (SIGTERM, SIGINT). A second SIGINT ends it at once.

    A run that has not ended after 4 s, in a long step or a call that hears nothing, says its `last_words`, ends its
    workers and is gone.
    """

    def __init__(self):
        super().__init__(lambda: self.received)
        self.received = self._waiting = False
        self._over = threading.Event()

    def listen(self) -> "StopSignal":
        """Takes over both signals."""
        self._process = os.getpid()
        self._heard, heard = socket.socketpair()
        heard.setblocking(False)
        self._written = heard
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)
        # Python runs a handler between two of its own steps: a thread hears of the signal during a long call, too.
        signal.set_wakeup_fd(heard.fileno(), warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=partial(signal.set_wakeup_fd, -1))  # what a child hears is not said to us
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def say_no_more(self) -> None:
        """Interrupts that come now change nothing: whoever asks twice is told once."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def close(self) -> None:
        """The run has ended: nothing is to be watched any more."""
        self._over.set()
        signal.set_wakeup_fd(-1)
        self._written.close()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        try:
            self._waiting = True
            if self.received:
                raise Stopped
            yield
        finally:
            self._waiting = False

    def _receive(self, number, frame) -> None:
        if os.getpid() != self._process:  # a reading process, just forked: it ends as it is told, what began it decides
            if number == signal.SIGTERM:
                os._exit(-number & 0xFF)
            return
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = True
        if self._waiting:
            self._waiting = False  # once: what comes now is the way out
            raise Stopped

    def _watch(self) -> None:
        while heard := self._heard.recv(1):
            if heard[0] in (signal.SIGTERM, signal.SIGINT):
                break
        if not heard or self._over.wait(_GRACE_S):
            return
        with suppress(Exception):
            self.last_words()
        end_workers()
        print("lrexplore train: stopped in the middle of a step", file=sys.stderr, flush=True)
        os._exit(STOPPED)


def end_workers() -> None:
    """Ends the processes that read data for this one, also those that wait for it in vain."""
    for child in multiprocessing.active_children():
        child.terminate()
