"""A run's records, also while it writes them: every poll reads only what is new."""

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from lrexplore.disk.paths import as_path
from lrexplore.records.blocks import MOST, Block, as_block
from lrexplore.records.layout import STREAMS, open_file
from lrexplore.records.schema import read_description

# Bytes that are read and parsed at once: what a first reading takes besides the numbers themselves.
_BLOCK = 2_000_000

_LISTS = (list, array)
if TYPE_CHECKING:
    import pandas as pd


class Reader:
    """Follows one run's folder. `poll()` reads the new lines; `columns` and `table` give what is there by then.

    A torn last line is left for the next poll, and rows that a resumed run voided are gone. Costs a few
    microseconds a new line, whatever the number of old ones, and their numbers' memory. The folder need not exist yet;
    one that was removed and made anew is read anew. Raises ValueError where something else lies in the place of a file.
    `is_behind`: the last poll ended before it had read all that was there.
    """

    def __init__(self, folder: str | Path):
        self.folder = as_path(folder, "folder")
        self._streams = {stream: _Stream(self.folder / f"{stream}.jsonl") for stream in STREAMS}
        self._description: dict | None = None
        self._seen: tuple = ()
        self.is_behind = False

    @property
    def description(self) -> dict:
        """What run.json says: name, configuration, environment, layers. Empty before the run has written it."""
        if self._description is None:
            try:
                self._description = read_description(self.folder)
            except FileNotFoundError:
                return {}
        return self._description

    def poll(self, time_limit_s: float | None = None) -> dict[str, int]:
        """New rows of each stream; -1 where earlier ones are void, so that a plot must be drawn anew.

        With a `time_limit_s` what is not read by then is left for the next poll (`is_behind`).
        """
        deadline = float("inf") if time_limit_s is None else monotonic() + time_limit_s
        anew = self._is_another()
        if anew:
            self._description = None
            self._streams = {name: _Stream(stream.path) for name, stream in self._streams.items()}
        news = {name: stream.poll(deadline) for name, stream in self._streams.items()}
        self.is_behind = any(stream.is_behind for stream in self._streams.values())
        return dict.fromkeys(news, -1) if anew else news

    def columns(self, stream: str) -> dict[str, np.ndarray]:
        """The numbers of a stream, one float64 array a column, NaN where a row lacks it; copies."""
        return {name: np.array(values) for name, values in self._stream(stream).numbers.items()}

    def since(self, stream: str, row: int) -> dict[str, np.ndarray]:
        """The same, from row number `row` on: what a plot that has the earlier rows must append."""
        return {name: np.array(values[row:]) for name, values in self._stream(stream).numbers.items()}

    def lists(self, stream: str, row: int = 0) -> dict[str, np.ndarray]:
        """The columns that hold one number a layer, from row number `row` on: float64 (rows, layers)."""
        columns = {}
        for name, values in self._stream(stream).others.items():
            if any(isinstance(value, _LISTS) for value in values):
                columns[name] = self._shaped(values[row:])
        return {name: values for name, values in columns.items() if len(values)}

    def rows(self, stream: str, row: int = 0) -> Iterator[dict[str, Any]]:
        """The rows of a stream as they were written, from number `row` on; lists of numbers are arrays."""
        followed = self._stream(stream)
        columns = {**followed.numbers, **followed.others}
        for number in range(row, followed.length):
            yield {name: values[number] for name, values in columns.items()}

    def table(self, stream: str) -> "pd.DataFrame":
        """A pandas DataFrame of a stream; `layers` and `norms` have one row a measurement and layer."""
        import pandas as pd  # slow to import, and only tables need it

        followed = self._stream(stream)
        others = followed.others
        rows = {**followed.numbers, **others}
        is_long = stream in ("layers", "norms") and bool(followed.length)
        lists = [name for name in others if is_long and any(isinstance(value, _LISTS) for value in others[name])]
        shaped = {name: self._shaped(others[name]) for name in lists}
        layers = (self.description.get("layers") or []) if is_long else []
        count = shaped[lists[0]].shape[1] if lists else len(layers)
        columns: dict[str, Any] = {}
        for name, values in rows.items():
            if name in shaped:
                columns[name] = shaped.pop(name).reshape(-1)
                continue
            column = pd.Series(np.array(values) if name not in others else [_listed(value) for value in values])
            if name in ("step", "epoch"):
                column = column.round().astype("Int64") if name not in others else column
            columns[name] = column.repeat(count).reset_index(drop=True) if is_long else column
        if is_long:
            names = layers or [str(k) for k in range(count)]
            columns["layer"] = np.tile(np.array(names, dtype=object), followed.length)
        return pd.DataFrame(columns, copy=False)

    def _stream(self, stream: str) -> "_Stream":
        if not isinstance(stream, str) or stream not in self._streams:
            raise ValueError(f"`stream` must be one of {', '.join(STREAMS)}, got {stream!r}. Choose one of them.")
        return self._streams[stream]

    def _is_another(self) -> bool:
        """Whether another run lies in the folder by now: run.json is written once, before everything else."""
        try:
            stat = (self.folder / "run.json").stat()
        except OSError:
            return False
        before, self._seen = self._seen, (stat.st_ino, stat.st_mtime_ns)
        return before not in ((), self._seen)

    def _shaped(self, values: list) -> np.ndarray:
        """(rows, layers); NaN in a row with another number of layers, which no writer of ours wrote."""
        names = self.description.get("layers")
        length = len(names) if names else len(next(value for value in values if isinstance(value, _LISTS)))
        try:
            table = np.array(values, dtype=float)
        except (ValueError, TypeError, OverflowError):
            table = np.zeros(0)
        if table.shape == (len(values), length):
            return table
        missing = [float("nan")] * length
        return np.array([_numbers(value) if _is_row(value, length) else missing for value in values])


class _Stream:
    """Rows of one file, by columns: numbers in arrays, everything else in lists."""

    def __init__(self, path: Path):
        self.path = path
        self.offset = self.length = 0
        self.is_behind = False
        self.numbers: dict[str, array] = {}
        self.others: dict[str, list] = {}

    def poll(self, deadline: float) -> int:
        before, voided = self.length, False
        self.is_behind = False
        try:
            with open_file(self.path) as file:
                file.seek(self.offset)
                while whole := _next_lines(file):
                    self.offset += len(whole)
                    voided |= self._take(whole)
                    if monotonic() > deadline:
                        self.is_behind = file.read(1) != b""
                        break
                    file.seek(self.offset)
        except FileNotFoundError:
            return 0
        return -1 if voided else self.length - before

    def _take(self, lines: bytes) -> bool:
        """Adds the rows of some whole lines; whether earlier ones are void by them."""
        block = as_block(lines)
        if block is not None:
            self._extend(block)
            return False
        voided = False
        for row in _rows(lines.splitlines()):
            if "step" in row:
                self._add(row)
            else:
                voided |= self._void(row["resume"])
        return voided

    def _extend(self, block: Block) -> None:
        length = self.length + block.length
        for name, numbers in block.numbers.items():
            if name in self.others:
                self.others[name] += [None if value != value else value for value in numbers.tolist()]
            else:
                self._column(self.numbers, name, float("nan")).frombytes(numbers.tobytes())
        for name, values in block.lists.items():
            if name not in self.numbers:
                self._column(self.others, name, None).extend(values)
        self._fill(length)

    def _add(self, row: dict) -> None:
        for name, value in row.items():
            number = type(value) in (int, float)
            if name in self.numbers or (number and name not in self.others):
                fits = number and -MOST < value < MOST
                self._column(self.numbers, name, float("nan")).append(value if fits else float("nan"))
            elif value is not None or name in self.others:
                self._column(self.others, name, None).append(_packed(value))
            else:
                self._column(self.numbers, name, float("nan")).append(float("nan"))
        self._fill(self.length + 1)

    def _fill(self, length: int) -> None:
        """Puts what is missing into the columns that have no value in the newest rows."""
        self.length = length
        for numbers in self.numbers.values():
            if len(numbers) < length:
                numbers.extend([float("nan")] * (length - len(numbers)))
        for values in self.others.values():
            if len(values) < length:
                values.extend([None] * (length - len(values)))

    def _column(self, columns: dict, name: str, missing: float | None) -> Any:
        if name not in columns:
            kind: Any = array("d") if columns is self.numbers else []
            kind.extend([missing] * self.length)
            columns[name] = kind
        return columns[name]

    def _void(self, keep: int) -> bool:
        """Drops all but the first `keep` rows; whether there were more."""
        dropped, self.length = keep < self.length, min(keep, self.length)
        for values in (*self.numbers.values(), *self.others.values()):
            del values[keep:]
        return dropped


def _next_lines(file: BinaryIO) -> bytes:
    """The next whole lines, a block of them or one that is longer; empty where no line is whole."""
    size = _BLOCK
    while True:
        start = file.tell()
        block = file.read(size)
        if whole := block.rfind(b"\n") + 1:
            return block[:whole]
        if len(block) < size:
            return b""
        file.seek(start)
        size *= 4


def _packed(value: Any) -> Any:
    """A list of numbers in the memory that numbers take; anything else as it is."""
    if not isinstance(value, list) or not all(type(entry) in (int, float, type(None)) for entry in value):
        return value
    return array("d", _numbers(value))


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, array) else value


def _rows(lines: list[bytes]) -> list[dict]:
    """The rows of some lines, without what is none (another program or a broken disk left it)."""
    try:
        rows = json.loads(b"[" + b",".join(lines) + b"]")  # a third of the time of one call a line
    except (ValueError, RecursionError):
        rows = [row for line in lines for row in _parsed(line)]
    return [row for row in rows if isinstance(row, dict) and _is_whole(row.get("step", row.get("resume")))]


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_row(value: Any, length: int) -> bool:
    return isinstance(value, _LISTS) and len(value) == length


def _numbers(values: list | array) -> list[float]:
    return [value if type(value) in (int, float) and -MOST < value < MOST else float("nan") for value in values]


def _parsed(line: bytes) -> list:
    try:
        return [json.loads(line)]
    except (ValueError, RecursionError):
        return []
