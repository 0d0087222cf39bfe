"""A run's records, also while it writes them: every poll reads only what is new."""

import json
from array import array
from pathlib import Path

import numpy as np

from lrexplore.records.layout import STREAMS, check_version, read_json


class Reader:
    """Follows one run's folder. `poll()` reads the new lines; `columns` and `table` give what is there by then.

    A torn last line is left for the next poll, and rows that a resumed run voided are gone. Costs a few
    microseconds a new line, whatever the number of old ones. The folder need not exist yet.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()
        self._streams = {stream: _Stream(self.folder / f"{stream}.jsonl") for stream in STREAMS}
        self._description: dict | None = None

    @property
    def description(self) -> dict:
        """What run.json says: name, configuration, environment, layers. Empty before the run has written it."""
        if self._description is None:
            try:
                described = read_json(self.folder / "run.json")
            except FileNotFoundError:
                return {}
            check_version(described, self.folder)
            self._description = described
        return self._description

    def poll(self) -> dict[str, int]:
        """New rows of each stream; -1 where a resumed run voided rows, so that a plot must be drawn anew."""
        return {name: stream.poll() for name, stream in self._streams.items()}

    def columns(self, stream: str) -> dict[str, np.ndarray]:
        """The numbers of a stream, one float64 array a column, NaN where a row lacks it; copies."""
        return {name: np.array(values) for name, values in self._streams[stream].numbers.items()}

    def since(self, stream: str, row: int) -> dict[str, np.ndarray]:
        """The same, from row number `row` on: what a plot that has the earlier rows must append."""
        return {name: np.array(values[row:]) for name, values in self._streams[stream].numbers.items()}

    def lists(self, stream: str, row: int = 0) -> dict[str, np.ndarray]:
        """The columns that hold one number a layer, from row number `row` on: float64 (rows, layers)."""
        found = {}
        for name, values in self._streams[stream].others.items():
            new = values[row:]
            if new and all(isinstance(value, list) for value in new):
                found[name] = np.array(new, dtype=float)
        return found

    def table(self, stream: str):
        """A pandas DataFrame of a stream; `layers` and `norms` have one row a measurement and layer."""
        import pandas as pd  # slow to import, and only tables need it

        rows = self._streams[stream]
        table = pd.DataFrame({**self.columns(stream), **{k: list(v) for k, v in rows.others.items()}})
        for column in {"step", "epoch"} & set(table.columns):
            table[column] = table[column].astype("Int64")
        if stream not in ("layers", "norms") or table.empty:
            return table
        lists = [column for column in rows.others if any(isinstance(v, list) for v in rows.others[column])]
        names = self.description.get("layers", [])
        table["layer"] = [names] * len(table)
        return table.explode([*lists, "layer"], ignore_index=True).astype(dict.fromkeys(lists, float))


class _Stream:
    """Rows of one file, by columns: numbers in arrays, everything else in lists."""

    def __init__(self, path: Path):
        self.path = path
        self.offset = self.length = 0
        self.numbers: dict[str, array] = {}
        self.others: dict[str, list] = {}

    def poll(self) -> int:
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                new = file.read()
        except FileNotFoundError:
            return 0
        whole = new.rfind(b"\n") + 1
        self.offset += whole
        before, voided = self.length, False
        for row in _rows(new[:whole].splitlines()):
            if "resume" in row and "step" not in row:
                voided |= self._void(row["resume"])
            else:
                self._add(row)
        return -1 if voided else self.length - before

    def _add(self, row: dict) -> None:
        for name, value in row.items():
            if name in self.others or isinstance(value, str | list | dict | bool):
                self._column(self.others, name, None).append(value)
            else:
                self._column(self.numbers, name, float("nan")).append(float("nan") if value is None else value)
        self.length += 1
        for columns, missing in ((self.numbers, float("nan")), (self.others, None)):
            for values in columns.values():
                if len(values) < self.length:
                    values.append(missing)

    def _column(self, columns: dict, name: str, missing):
        if name not in columns:
            kind = array("d") if columns is self.numbers else []
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
    """The rows of some lines, without those that are no object (another program or a broken disk left them)."""
    try:
        rows = json.loads(b"[" + b",".join(lines) + b"]")  # a third of the time of one call a line
    except ValueError:
        rows = [row for line in lines for row in _parsed(line)]
    return [row for row in rows if isinstance(row, dict)]


def _parsed(line: bytes) -> list:
    try:
        return [json.loads(line)]
    except ValueError:
        return []
