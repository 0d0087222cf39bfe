"""A run's records, also while it writes them: every poll reads only what is new."""

import json
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrexplore.records.layout import STREAMS, open_file
from lrexplore.records.schema import read_description

_MOST = 1e300

if TYPE_CHECKING:
    import pandas as pd


class Reader:
    """Follows one run's folder. `poll()` reads the new lines; `columns` and `table` give what is there by then.

    A torn last line is left for the next poll, and rows that a resumed run voided are gone. Costs a few
    microseconds a new line, whatever the number of old ones. The folder need not exist yet; one that was removed and
    made anew is read anew. Raises ValueError where something else lies in the place of a file.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()
        self._streams = {stream: _Stream(self.folder / f"{stream}.jsonl") for stream in STREAMS}
        self._description: dict | None = None
        self._seen: tuple = ()

    @property
    def description(self) -> dict:
        """What run.json says: name, configuration, environment, layers. Empty before the run has written it."""
        if self._description is None:
            try:
                self._description = read_description(self.folder)
            except FileNotFoundError:
                return {}
        return self._description

    def poll(self) -> dict[str, int]:
        """New rows of each stream; -1 where earlier ones are void, so that a plot must be drawn anew."""
        anew = self._is_another()
        if anew:
            self._description = None
            self._streams = {name: _Stream(stream.path) for name, stream in self._streams.items()}
        news = {name: stream.poll() for name, stream in self._streams.items()}
        return dict.fromkeys(news, -1) if anew else news

    def columns(self, stream: str) -> dict[str, np.ndarray]:
        """The numbers of a stream, one float64 array a column, NaN where a row lacks it; copies."""
        return {name: np.array(values) for name, values in self._streams[stream].numbers.items()}

    def since(self, stream: str, row: int) -> dict[str, np.ndarray]:
        """The same, from row number `row` on: what a plot that has the earlier rows must append."""
        return {name: np.array(values[row:]) for name, values in self._streams[stream].numbers.items()}

    def lists(self, stream: str, row: int = 0) -> dict[str, np.ndarray]:
        """The columns that hold one number a layer, from row number `row` on: float64 (rows, layers)."""
        columns = {}
        for name, values in self._streams[stream].others.items():
            if any(isinstance(value, list) for value in values):
                columns[name] = self._shaped(values[row:])
        return {name: values for name, values in columns.items() if len(values)}

    def table(self, stream: str) -> "pd.DataFrame":
        """A pandas DataFrame of a stream; `layers` and `norms` have one row a measurement and layer."""
        import pandas as pd  # slow to import, and only tables need it

        rows = self._streams[stream]
        table = pd.DataFrame({**self.columns(stream), **{k: list(v) for k, v in rows.others.items()}})
        for column in {"step", "epoch"} & set(self._streams[stream].numbers):
            table[column] = table[column].round().astype("Int64")
        if stream not in ("layers", "norms") or table.empty:
            return table
        lists = [column for column in rows.others if any(isinstance(v, list) for v in rows.others[column])]
        for column in lists:
            table[column] = self._shaped(rows.others[column]).tolist()
        names = self.description.get("layers") or [str(k) for k in range(len(table[lists[0]][0]) if lists else 0)]
        table["layer"] = [names] * len(table)
        return table.explode([*lists, "layer"], ignore_index=True).astype(dict.fromkeys(lists, float))

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
        length = len(names) if names else len(next(value for value in values if isinstance(value, list)))
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
        self.numbers: dict[str, array] = {}
        self.others: dict[str, list] = {}

    def poll(self) -> int:
        try:
            with open_file(self.path) as file:
                file.seek(self.offset)
                new = file.read()
        except FileNotFoundError:
            return 0
        whole = new.rfind(b"\n") + 1
        self.offset += whole
        before, voided = self.length, False
        for row in _rows(new[:whole].splitlines()):
            if "step" in row:
                self._add(row)
            else:
                voided |= self._void(row["resume"])
        return -1 if voided else self.length - before

    def _add(self, row: dict) -> None:
        for name, value in row.items():
            number = type(value) in (int, float)
            if name in self.numbers or (number and name not in self.others):
                fits = number and -_MOST < value < _MOST
                self._column(self.numbers, name, float("nan")).append(value if fits else float("nan"))
            elif value is not None or name in self.others:
                self._column(self.others, name, None).append(value)
            else:
                self._column(self.numbers, name, float("nan")).append(float("nan"))
        self.length += 1
        for columns, missing in ((self.numbers, float("nan")), (self.others, None)):
            for values in columns.values():
                if len(values) < self.length:
                    values.append(missing)

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
    return isinstance(value, list) and len(value) == length


def _numbers(values: list) -> list[float]:
    return [value if type(value) in (int, float) and -_MOST < value < _MOST else float("nan") for value in values]


def _parsed(line: bytes) -> list:
    try:
        return [json.loads(line)]
    except (ValueError, RecursionError):
        return []
