"""The one writer of a run: appends lines, replaces the status, and writes Parquet at the end."""

import errno
import json
import os
import socket
import stat
import threading
import time
from pathlib import Path
from typing import Any

from lrexplore.disk.paths import made_folder, printable
from lrexplore.disk.whole_file import whole_file
from lrexplore.records.layout import STREAMS, VERSION, finite, write_json
from lrexplore.records.process import own_process
from lrexplore.records.reader import Reader
from lrexplore.records.schema import check_version

_HEARTBEAT_S = 5.0


class Writer:
    """Appends to a run's folder, which it makes. Use it as a context manager; one process a run may hold it.

    Every call of `append` is one write of whole lines: a killed run loses none, and a torn last line (a full
    disk) is cut when the run is opened again. `rows` counts the rows of each stream: a checkpoint keeps it, and
    `resume(rows)` voids what came after.
    `begun`: whether the run had begun when its name was chosen, so that two who choose one name at once do not both
    get it. Raises BlockingIOError while another process writes this run, ValueError for records of a later version
    and where `begun` is true no more.
    """

    def __init__(self, folder: str | Path, description: dict, *, tensorboard: bool = False, begun: bool | None = None):
        import fcntl  # which Windows lacks: there runs are read, not written

        self.folder = made_folder(folder, "runs")
        self._lock = os.fdopen(_open_file(self.folder / "lock"), "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise BlockingIOError(
                f"`{self.folder}` must have one writer, got a second one while a run is still going on there."
                " Stop that run first or choose another name."
            ) from None
        try:
            self._check(begun)
        except ValueError:
            self._lock.close()
            raise
        for left in self.folder.glob("*.new"):  # of a write that was killed
            left.unlink(missing_ok=True)
        described = self.folder / "run.json"
        if not described.exists():
            write_json(described, {"version": VERSION, "started": time.time(), **description})
        self._files = {stream: _open_whole(self.folder / f"{stream}.jsonl") for stream in STREAMS}
        self.rows = dict.fromkeys(STREAMS, 0)
        self._status: dict = {}
        self._board = _tensorboard(self.folder) if tensorboard else None
        self._closed = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def append(self, stream: str, row: dict) -> None:
        """Adds one row to one of the streams; it must have a `step`."""
        line = json.dumps({key: finite(value) for key, value in row.items()}, separators=(",", ":")) + "\n"
        _write_all(self._files[stream], line.encode())
        self.rows[stream] += 1
        if self._board is not None and stream in ("steps", "epochs"):
            for key, value in row.items():
                if isinstance(value, int | float) and key not in ("step", "epoch"):
                    self._board.add_scalar(f"{stream}/{key}", value, row["step"])

    def resume(self, rows: dict[str, int]) -> None:
        """Voids all but the first rows of every stream: as many as a checkpoint knew (0 where it says nothing)."""
        for stream, file in self._files.items():
            self.rows[stream] = rows.get(stream, 0)
            _write_all(file, f'{{"resume":{self.rows[stream]}}}\n'.encode())

    def status(self, state: str, **more: Any) -> None:
        """Replaces the status: `running`, `done`, `stopped` or `failed`, and what else there is to say."""
        self._status = {**self._status, **{key: finite(value) for key, value in more.items()}}
        process = {**own_process(), "host": socket.gethostname()}
        write_json(self.folder / "status.json", {"state": state, **process, "time": time.time(), **self._status})

    def finish(self) -> None:
        """Writes every stream as a Parquet file beside its lines."""
        reader = Reader(self.folder)
        reader.poll()
        for stream in STREAMS:
            table = reader.table(stream)
            with whole_file(self.folder / f"{stream}.parquet") as temporary:
                table.to_parquet(temporary, index=False)

    def sync(self) -> None:
        """Returns when the lines written so far are on the disk, not only with the operating system."""
        for file in self._files.values():
            os.fsync(file)

    def close(self) -> None:
        """Lets go of the folder."""
        self._closed.set()
        if self._board is not None:
            self._board.close()
        for file in self._files.values():
            os.close(file)
        self._files = {}
        self._lock.close()

    def _check(self, begun: bool | None) -> None:
        """What was true when the name was chosen, again under the lock."""
        there = (self.folder / "run.json").exists()
        if begun is not None and there != begun:
            raise ValueError(
                f"`name` must be new in {self.folder.parent}, got {self.folder.name!r}, a run that another process"
                f" has {'begun' if there else 'removed'} meanwhile. Start again, with `--resume` or another name."
            )
        if there:
            check_version(self.folder)

    def _beat(self) -> None:
        while not self._closed.wait(_HEARTBEAT_S):
            try:
                os.utime(self.folder / "status.json")
            except OSError:
                continue  # not there yet, or the file system is away: the run itself will say so


def _open_file(path: Path) -> int:
    """A descriptor that appends; waits for nobody. Raises ValueError for what is no file, or none of this person's."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0), 0o644)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(errno.EINVAL, "it is no file")
    except OSError as error:
        raise ValueError(
            f"`{path.name}` must be a file that can be written, got {error.strerror} in {printable(path.parent)}."
            " Remove it to go on."
        ) from error
    return file


def _open_whole(path: Path) -> int:
    """A descriptor that appends, after a torn last line was cut off (no reader has taken it)."""
    file = _open_file(path)
    size = os.lseek(file, 0, os.SEEK_END)
    end = size
    while end and os.pread(file, 1, end - 1) != b"\n":
        end -= 1
    if end != size:
        os.ftruncate(file, end)
    return file


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "`tensorboard` must be installed to write for it, got an environment without it."
            " Install the extra: pip install -e '.[tensorboard]'"
        ) from error
    return SummaryWriter(str(folder))
