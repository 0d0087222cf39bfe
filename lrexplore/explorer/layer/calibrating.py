"""What takes long to be known of the layers' inputs, in the background: once, when they are first asked for."""

from functools import partial

from lrexplore.explorer.layer.screen import Screen
from lrexplore.explorer.layer.state import KNOWN, State
from lrexplore.explorer.real_inputs import GAUSSIAN, YOURS
from lrexplore.explorer.work.threads import spare_cores
from lrexplore.explorer.work.worker import Stopped, Token, Worker


class Calibrating:
    """Follows `state.inputs`: calibrates once "yours" are asked for, works out those "implied", and sets
    `state.calibrated` or `state.inferred` when it is done.

    The thread, its own for no other work to end the pass, comes with the first pass. What the pass raises takes the
    state back to Gaussian inputs and then goes to `on_error`.
    """

    def __init__(self, screen: Screen, state: State, on_error):
        self._screen, self._state, self._on_error = screen, state, on_error
        self._worker: Worker | None = None
        state.set_trait("calibrated", screen.subject.real.calibration is not None)
        state.observe(self._follow, names="inputs")

    def _follow(self, change) -> None:
        self._stop_worker()
        self._begin()

    def renew(self) -> None:
        """Forget the calibration of inputs that are the person's no longer, and make that of the others if wanted."""
        self._stop_worker()
        self._state.set_trait(KNOWN[YOURS], False)
        self._begin()

    def _begin(self) -> None:
        if not self._state.knows(self._state.inputs):
            self._worker = self._worker or Worker(self._on_failure)
            self._worker.submit(partial(self._pass, self._state.inputs))

    def cancel(self) -> None:
        """End a pass that is under way; the state goes back to Gaussian inputs."""
        if not self._state.knows(self._state.inputs):
            self._state.inputs = GAUSSIAN

    def wait(self, time_limit_s: float | None) -> bool:
        """Block until no pass is under way; whether that came about in time."""
        return self._worker is None or self._worker.wait(time_limit_s)

    def close(self) -> None:
        """End the thread."""
        if self._worker:
            self._worker.close()

    def _stop_worker(self) -> None:
        if self._worker:
            self._worker.cancel()

    def _pass(self, inputs: str, token: Token) -> None:
        token.waive_grace()

        def progress(done: int, total: int, what: str) -> None:
            with self._screen.lock:
                if token.cancelled():
                    raise Stopped
                self._state.tell(f"{what}: {done} of {total}" if total > 1 else what, min(done / total, 0.999))

        try:
            with spare_cores():
                self._screen.subject.real.learn(inputs, progress)
        except Stopped:
            return
        with self._screen.lock:
            if not token.cancelled():
                self._state.tell("", 1.0)
                self._state.set_trait(KNOWN[inputs], True)

    def _on_failure(self, error: BaseException) -> None:
        with self._screen.lock:
            self._state.inputs = GAUSSIAN
            self._on_error(error)
