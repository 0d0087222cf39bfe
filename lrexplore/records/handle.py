"""A run seen from outside: what it does now, waiting for it, stopping it, and starting one in the background."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrexplore.disk.paths import as_path, made_folder, printable
from lrexplore.records.process import process_of
from lrexplore.records.reader import Reader
from lrexplore.records.schema import UNREADABLE, read_status

if TYPE_CHECKING:
    import pandas as pd

# A live run touches its status every 5 s; network file systems show that up to a minute late.
_SILENT_S, _SILENT_HERE_S = 90.0, 30.0
ENDED = ("done", "stopped", "failed", "interrupted")


class Run:
    """A handle on one run's folder, whoever started the run.

    `status` is a dict with `state` (`starting`, `running`, `done`, `stopped`, `failed`, `interrupted`, `unreadable`)
    and, once the run has begun, its step, latest metrics and `message`. `records` reads what it wrote.

    >>> import lrexplore as lr
    >>> run = lr.Run("runs/first")
    >>> run.status["state"], run.status["step"]
    ('done', 2)
    >>> run.records.table("steps")["step"].tolist()
    [1, 2]
    >>> run.stop()  # nothing, for it has ended
    """

    def __init__(self, folder: str | Path, process: subprocess.Popen | None = None):
        self.folder = as_path(folder, "folder")
        self._process = process
        self._reader = Reader(self.folder)

    def __repr__(self) -> str:
        status = self.status
        progress = f", step {status['step']} of {status['num_steps']}" if "num_steps" in status else ""
        return f"Run({str(self.folder)!r}: {status['state']}{progress})"

    @property
    def name(self) -> str:
        """The name of the run: that of its folder."""
        return printable(self.folder.name)

    @property
    def status(self) -> dict:
        """What the run does now. A run whose process is gone without a last word is `interrupted`."""
        process, path = self._process, self.folder / "status.json"
        code = process.poll() if process else None
        try:
            status, silent_s = read_status(self.folder), time.time() - path.stat().st_mtime
        except FileNotFoundError:
            status, silent_s = {}, 0.0
        except ValueError as error:
            return {"state": UNREADABLE, "message": str(error)}
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

    def spectra(self) -> "pd.DataFrame":
        """What the run recorded of the spectra of its layers so far, one row a moment and layer, as a DataFrame.

        Columns: step, epoch, layer, num_values, full_rank (how many singular values it would have without factors),
        ranks and singular_values (arrays: all of up to 256, else 256 that draw the same curve), stable_rank,
        effective_rank, and function_error_x and frobenius_error_x, the relative squared errors of cutting the layer to
        x of its smaller side there and then (.05, .1, .25, .5), with what followed it.
        """
        from lrexplore.records.spectra import spectra_of

        return spectra_of(self.records)

    def rank_changes(self) -> "pd.DataFrame":
        """The ranks that changed while the run trained, one row a change and layer, as a DataFrame.

        Columns: step (after which), layer, old_rank (missing of a layer that was unfactorized), new_rank.
        """
        import pandas as pd

        columns = ["step", "layer", "old_rank", "new_rank"]
        rows = [row for row in self.records.rows("events") if row.get("event") == "rank"]
        table = pd.DataFrame([[row.get(column) for column in columns] for row in rows], columns=columns)
        return table.astype({"step": "int64", "old_rank": "Int64", "new_rank": "Int64"})

    def wait(self, time_limit_s: float | None = None) -> str:
        """The state in which the run ended, or `unreadable`. Raises TimeoutError after `time_limit_s` seconds; the run
        goes on."""
        deadline = float("inf") if time_limit_s is None else time.monotonic() + time_limit_s
        while (state := self.status["state"]) not in ENDED:
            if state == UNREADABLE and (self._process is None or self._process.poll() is not None):
                return state
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"`time_limit_s` of {time_limit_s} s must suffice for the run, got one that is {state}."
                    " Wait longer, or call `stop()`."
                )
            self._pause()
        if self._process is not None:
            self._process.wait()
        return state

    def stop(self) -> None:
        """Asks the run to write a checkpoint and end; `wait()` returns when it did. Nothing if it has ended.

        It ends within 5 s: what takes longer, such as a long step, is given up, and the run goes on from its last
        checkpoint. Raises ProcessLookupError for a run on another machine.
        """
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
            return
        status = self.status
        if status["state"] != "running":
            return
        if status.get("host") != socket.gethostname():
            raise ProcessLookupError(
                f"`{self.name}` must run on this machine to be stopped from it, got a run on {status.get('host')}."
                f" Stop process {status.get('pid')} there."
            )
        if process := process_of(status):
            process.terminate()

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
    folder = made_folder(folder, "runs")
    with open(folder / "log.txt", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lrexplore.training", *arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    return Run(folder, process)


def _is_alive(status: dict, silent_s: float) -> bool:
    if status.get("host") != socket.gethostname():
        return silent_s < _SILENT_S
    return silent_s <= _SILENT_HERE_S and process_of(status) is not None
