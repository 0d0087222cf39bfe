"""One daemon thread that calls a function again and again, and rests when told so."""

import threading
from collections.abc import Callable

from lrexplore.explorer.work.colab import shows_background
from lrexplore.explorer.work.worker import hand_on


class Ticker:
    """Calls `tick()`, which says in how many seconds to call it again; None: not before `wake()`.

    What it raises goes to `on_error`, and it is called again after `retry_s`. The thread starts at the first `wake()`
    and ends with `close()`. There is none where it would not be shown (Colab).
    """

    def __init__(
        self, tick: Callable[[], float | None], on_error: Callable[[BaseException], None], retry_s: float = 5.0
    ):
        self._tick, self._on_error, self._retry_s = tick, on_error, retry_s
        self._changed = threading.Condition()
        self._woken = self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Call the function now, from the ticker's thread."""
        with self._changed:
            if self._closed or not shows_background():
                return
            self._woken = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lrexplore ticker", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread; returns at once, a call under way comes to its end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, time_limit_s: float | None = None) -> None:
        """Wait until the thread has ended."""
        if self._thread is not None:
            self._thread.join(time_limit_s)

    def _run(self) -> None:
        pause: float | None = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._woken or self._closed, pause)
                if self._closed:
                    return
                self._woken = False
            try:
                pause = self._tick()
            except BaseException as error:  # whatever it raises is shown, and the thread lives on
                pause = self._retry_s
                hand_on(error, self._on_error)
