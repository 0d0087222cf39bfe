"""One background thread with one place for work: the latest wins."""

import atexit
import logging
import math
import threading
import time
from collections.abc import Callable

from lrexplore.explorer.work.colab import shows_background


class Stopped(Exception):
    """Work was asked to stop before it had a result."""


class Token:
    """Tells a running job whether it should stop. `pause_s` is how long its `pause` lasts."""

    def __init__(self, pause_s: float = 0.0):
        self.started = time.monotonic()
        self._until, self._pause_s = math.inf, pause_s
        self._asked, self._has_grace = threading.Event(), True

    def cancel(self, age_s: float = 0.0) -> None:
        """Ask the job to stop at its first look after it is `age_s` old, or has waived its grace."""
        self._until = min(self._until, self.started + age_s)
        self._asked.set()

    def waive_grace(self) -> None:
        """The job has shown what could not wait: from now on it stops as soon as it is asked to."""
        self._has_grace = False

    def cancelled(self) -> bool:
        """Whether the job should stop."""
        return time.monotonic() >= self._until or (self._asked.is_set() and not self._has_grace)

    def pause(self) -> bool:
        """Wait a while, before work that should not begin as long as a person is at it; whether to stop instead."""
        return self._asked.wait(self._pause_s)


class Worker:
    """Runs one job at a time on a daemon thread; a new job takes the place of a waiting one and stops a running one.

    A job may become `grace_s` old before it is stopped, else a held key would cancel every job before it shows
    anything. A job that comes after `quiet_s` without any starts at once, others once none has come for `rest_s`, so
    that nothing competes with a slider that moves. A job may pause, for `pause_s`. What it raises goes to `on_error`,
    and what that raises to the log. Where no background thread is shown (Colab), jobs run in their caller.
    """

    def __init__(
        self,
        on_error: Callable[[BaseException], None],
        grace_s: float = 0.3,
        rest_s: float = 0.05,
        quiet_s: float = 0.15,
        pause_s: float = 0.5,
    ):
        self._on_error, self._grace_s, self._rest_s, self._pause_s = on_error, grace_s, rest_s, pause_s
        self._quiet_s, self._submitted, self._is_rush = quiet_s, -math.inf, False
        self._changed = threading.Condition()
        self._waiting: Callable[[Token], None] | None = None
        self._running: Token | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="lrexplore worker", daemon=True)
        self._thread.start()
        # A thread inside torch when the interpreter goes down would abort the process.
        atexit.register(self._end)

    def submit(self, job: Callable[[Token], None]) -> None:
        """Run `job(token)` next, instead of whatever waits or runs; a closed worker forgets it."""
        with self._changed:
            if self._closed:
                return
            if shows_background():
                self._waiting = job
            now = time.monotonic()
            self._is_rush, self._submitted = now - self._submitted < self._quiet_s, now
            if self._running:
                self._running.cancel(self._grace_s)
            self._changed.notify_all()
        if not shows_background():
            try:
                job(Token())
            except Exception as error:
                hand_on(error, self._on_error)

    def cancel(self) -> None:
        """Stop the running job and forget the waiting one."""
        with self._changed:
            self._waiting = None
            if self._running:
                self._running.cancel()

    def wait(self, time_limit_s: float | None = None) -> bool:
        """Block until nothing waits or runs; whether that came about in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._running), time_limit_s)

    def close(self) -> None:
        """End the thread, as soon as the running job looks at its token."""
        with self._changed:
            self._closed = True
            self._waiting = None
            if self._running:
                self._running.cancel()
            self._changed.notify_all()
        atexit.unregister(self._end)
        atexit.register(self._thread.join, 60)  # holds the thread alone, not what it worked on

    def _end(self) -> None:
        self.close()
        self._thread.join(timeout=60)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._waiting
                while self._changed.wait_for(
                    lambda job=job: self._waiting is not job, self._rest_s if self._is_rush else 0
                ):
                    job = self._waiting
                if job is None or self._closed:
                    continue
                self._waiting = None
                token = self._running = Token(self._pause_s)
            try:
                job(token)
            except BaseException as error:  # SystemExit would end the thread, and later jobs would be ignored
                hand_on(error, self._on_error)
            finally:
                with self._changed:
                    self._running = None
                    self._changed.notify_all()


def hand_on(error: BaseException, on_error: Callable[[BaseException], None]) -> None:
    """Give an error to its handler; what the handler itself raises goes to the log."""
    try:
        on_error(error)
    except BaseException:
        logging.getLogger("lrexplore").exception("The handler of %r failed.", error)
