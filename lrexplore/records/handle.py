"""A run seen from outside: what it does now, waiting for it, stopping it, and starting one in the background."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lrexplore.records.layout import read_json
from lrexplore.records.reader import Reader

# A live run touches its status every 5 s; network file systems show that up to a minute late.
_SILENT_S, _SILENT_HERE_S = 90.0, 30.0
ENDED = ("done", "stopped", "failed", "interrupted")


class Run:
    """A handle on one run's folder, whoever started the run.

    `status` is a dict with `state` (`starting`, `running`, `done`, `stopped`, `failed`, `interrupted`) and,
    once the run has begun, its step, latest metrics and `message`. `records` reads what it wrote.
    """

    def __init__(self, folder: str | Path, process: subprocess.Popen | None = None):
        self.folder = Path(folder).expanduser()
        self._process = process
        self._reader = Reader(self.folder)

    def __repr__(self) -> str:
        status = self.status
        progress = f", step {status['step']} of {status['num_steps']}" if "num_steps" in status else ""
        return f"Run({str(self.folder)!r}: {status['state']}{progress})"

    @property
    def name(self) -> str:
        """The name of the run: that of its folder."""
        return self.folder.name

    @property
    def status(self) -> dict:
        """What the run does now. A run whose process is gone without a last word is `interrupted`."""
        process, path = self._process, self.folder / "status.json"
        code = process.poll() if process else None
        try:
            status, silent_s = read_json(path), time.time() - path.stat().st_mtime
        except FileNotFoundError:
            status, silent_s = {}, 0.0
        if process and status.get("pid") != process.pid:  # it has not said a word: this is an earlier one's status
            if code is None:
                return {"state": "starting"}
            if code == 0:
                return status
            stopped = code in (130, -signal.SIGTERM, -signal.SIGINT)
            return {**status, "state": "stopped" if stopped else "failed", "message": self._last_words()}
        if not status:
            return {"state": "starting"}
        if status["state"] == "running":
            gone = code is not None if process else not _is_alive(status, silent_s)
            status["state"] = "interrupted" if gone else "running"
        return status

    @property
    def records(self) -> Reader:
        """The run's records, polled up to now."""
        self._reader.poll()
        return self._reader

    def wait(self, timeout: float | None = None) -> str:
        """The state in which the run ended. Raises TimeoutError after `timeout` seconds; the run goes on."""
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        while (state := self.status["state"]) not in ENDED:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"`timeout` of {timeout} s must suffice for the run, got one that is {state}."
                    " Wait longer, or call `stop()`."
                )
            self._pause()
        if self._process is not None:
            self._process.wait()
        return state

    def stop(self) -> None:
        """Asks the run to write a checkpoint and end; `wait()` returns when it did. Nothing if it has ended.

        Raises ProcessLookupError for a run on another machine.
        """
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
            return
        status = self.status
        if status["state"] != "running":
            return
        if status["host"] != socket.gethostname():
            raise ProcessLookupError(
                f"`{self.name}` must run on this machine to be stopped from it, got a run on {status['host']}."
                f" Stop process {status['pid']} there."
            )
        os.kill(status["pid"], signal.SIGTERM)

    def _pause(self) -> None:
        if self._process is None:
            time.sleep(0.2)
            return
        try:
            self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            return

    def _last_words(self) -> str:
        try:
            lines = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return next((line for line in reversed(lines) if line.strip()), "")


def start(folder: str | Path, arguments: Sequence[str], environment: dict[str, str] | None = None) -> Run:
    """A run of `python -m lrexplore.training` with these arguments, as a process of its own that outlives this one.

    `arguments` must name `folder` as their `--runs` and `--name`. What it prints goes to log.txt there.
    """
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.txt", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lrexplore.training", *arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    return Run(folder, process)


def _is_alive(status: dict, silent_s: float) -> bool:
    if status["host"] != socket.gethostname():
        return silent_s < _SILENT_S
    if silent_s > _SILENT_HERE_S:
        return False
    try:
        os.kill(status["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is somebody else's, and alive
    return True
