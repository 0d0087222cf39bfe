"""The recorded numbers of one run as arrays over steps, epochs or seconds, followed while it writes. No widget."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lrexplore.explorer.training.spectra.spectra_moments import Moments
from lrexplore.records import Reader, read
from lrexplore.records.table import table_of

AXES = ("step", "epoch", "time")
LISTS = ("frobenius_norm", "nuclear_norm", "factor_bound", "non_orthogonality", "effective_lr")


class RunSeries:
    """Columns of a run's streams `steps`, `epochs` and `layers`. `poll()` reads what is new; `version` counts that.

    A run that only left Parquet files is read from those, once. A poll of a live run costs what is new, and
    `column` one copy of the numbers asked for, whatever else the run has recorded.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.version = 0
        self._reader = Reader(self.folder)
        self._lists: dict[str, np.ndarray] = {}
        self._kept: dict[str, dict[str, np.ndarray]] = {}
        self._first_epoch = 0.0
        self._moments: Moments | None = None
        self._moments_read = 0

    @property
    def moments(self) -> Moments:
        """The recorded spectra of its layers; each row is read once."""
        names = self._reader.description.get("spectra_layers") or []
        if self._moments is None or self._moments.names != names:
            self._moments, self._moments_read = Moments(names), 0
            if names and not (self.folder / "spectra.jsonl").exists() and (self.folder / "spectra.parquet").exists():
                self._moments.extend(table_of(self.folder, "spectra").to_dict("records"))
        for row in self._reader.rows("spectra", self._moments_read):
            self._moments.extend([row])
            self._moments_read += 1
        return self._moments

    @property
    def rank_changes(self) -> dict[int, str]:
        """Step -> what was said of the ranks that changed after it."""
        said: dict[int, str] = {}
        for row in self._reader.rows("events"):
            if row.get("event") == "rank":
                said.setdefault(int(row["step"]), "ranks changed")
            elif int(row["step"]) in said:
                said[int(row["step"])] = str(row.get("event"))
        return said

    def when(self, steps: Sequence[int], axis: str, steps_per_epoch: float | None = None) -> np.ndarray:
        """Where steps lie along x."""
        return self._along({"step": np.array(steps, dtype=float)}, axis, steps_per_epoch)

    @property
    def layers(self) -> list[str]:
        """Names of the layers whose norms are measured."""
        return list(self._reader.description.get("layers", []))

    @property
    def is_behind(self) -> bool:
        """Whether the last poll left something that was there already."""
        return self._reader.is_behind

    def poll(self, time_limit_s: float | None = None) -> bool:
        """Whether there are new rows; what is not read within the time is left for the next poll."""
        news = self._reader.poll(time_limit_s)
        changed = any(news[stream] for stream in ("steps", "epochs", "layers", "spectra", "events"))
        if min(news.values()) < 0:
            self._first_epoch, self._moments = 0.0, None
        if changed:
            if news["steps"]:
                self._kept.pop("steps", None)
            if news["epochs"]:
                self._kept.pop("epochs", None)
            if news["layers"]:
                self._kept.pop("layers", None)
                self._extend(anew=news["layers"] < 0)
            self.version += 1
        return changed

    def line(self, stream: str, quantity: str, axis: str, steps_per_epoch: float | None = None):
        """(x, y) of a quantity of the `steps` or `epochs`; x is the step, the epoch (fractions too) or seconds.

        Rows without the quantity are left out. `steps_per_epoch` is used until the first epoch is over.
        """
        columns = self._columns(stream)
        if quantity not in columns:
            return np.zeros(0), np.zeros(0)
        finite = np.isfinite(columns[quantity])
        return self._along(columns, axis, steps_per_epoch)[finite], columns[quantity][finite]

    def table(self, quantity: str, axis: str, steps_per_epoch: float | None = None):
        """(x, values) of a quantity of every layer: (measurements,) and (measurements, layers)."""
        lists = self._columns("layers")
        if quantity not in lists or not len(lists[quantity]):
            return np.zeros(0), np.zeros((0, len(self.layers)))
        return self._along(lists, axis, steps_per_epoch), lists[quantity]

    def _along(self, columns: dict[str, np.ndarray], axis: str, steps_per_epoch: float | None) -> np.ndarray:
        step = columns["step"]
        if axis == "step":
            return step
        steps = self._columns("steps")
        if axis == "epoch":
            per_epoch = self._steps_per_epoch(steps, steps_per_epoch)
            return step / per_epoch if per_epoch else columns.get("epoch", step)
        if "wall_s" in columns and np.isfinite(columns["wall_s"]).all():
            return columns["wall_s"]
        if not len(steps.get("wall_s", ())):
            return np.full(len(step), np.nan)
        return np.interp(step, steps["step"], steps["wall_s"])

    def _steps_per_epoch(self, steps: dict[str, np.ndarray], told: float | None) -> float | None:
        """Steps of an epoch: as recorded at the end of the first one, else as told, else the rows of the first one."""
        if not self._first_epoch:
            ends = self._columns("epochs")
            if len(ends.get("epoch", ())) and ends["epoch"][-1] > 1:  # a run of one epoch may have ended within it
                self._first_epoch = float(ends["step"][0])
            elif told is None and len(epoch := steps.get("epoch", ())) and epoch[-1] > 1:
                return float(steps["step"][np.searchsorted(epoch, 1.5) - 1])
        return self._first_epoch or told

    def _columns(self, stream: str) -> dict[str, np.ndarray]:
        """The columns of a stream, kept until it has new rows."""
        if stream not in self._kept:
            columns = self._reader.columns(stream)
            if stream == "layers":
                columns = {**columns, **self._lists}
            if not columns and not (self.folder / f"{stream}.jsonl").exists():
                columns = self._from_parquet(stream)
            self._kept[stream] = columns
        return self._kept[stream]

    def _extend(self, anew: bool) -> None:
        have = 0 if anew else len(next(iter(self._lists.values()), ()))
        added = self._reader.lists("layers", have)
        if have and added.keys() == self._lists.keys():
            self._lists = {name: np.concatenate([self._lists[name], values]) for name, values in added.items()}
        elif added or anew:
            self._lists = self._reader.lists("layers")

    def _from_parquet(self, stream: str) -> dict[str, np.ndarray]:
        if not (self.folder / f"{stream}.parquet").exists():
            return {}
        table = read(self.folder, stream)
        if stream != "layers" or table.empty:
            numbers = table.select_dtypes("number")
            return {name: numbers[name].to_numpy(dtype=float, na_value=np.nan) for name in numbers}
        rows = len(self.layers)
        columns = {name: table[name].to_numpy(dtype=float)[::rows] for name in ("step", "epoch", "lr")}
        lists = {name: table[name].to_numpy(dtype=float).reshape(-1, rows) for name in LISTS if name in table}
        return {**columns, **lists}
