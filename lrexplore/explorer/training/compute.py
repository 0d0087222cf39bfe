"""The curves of groups of runs, followed while they write and thinned out for the screen. No widget, no tensor."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np

from lrexplore.explorer.training.averages import average, smooth, thin
from lrexplore.explorer.training.groups import Group
from lrexplore.explorer.training.listed import Listed
from lrexplore.explorer.training.series import RunSeries
from lrexplore.explorer.training.spectra.spectra_moments import Moments
from lrexplore.records.schema import UNREADABLE

NUM_POINTS = 1000
NUM_COLUMNS = 240
MEDIAN = "median of all layers"
_MOST_LINES = 1024
_READING_S = 0.25  # of all runs, in one poll: a cell and a control wait no longer, and what is missing fills in


@dataclass(frozen=True)
class View:
    """How curves are drawn: over `step`, `epoch` or `time`; the weight of smoothing; whether x is logarithmic."""

    axis: str = "step"
    smoothing: float = 0.0
    log_x: bool = False


@dataclass(frozen=True, eq=False)
class Line:
    """A curve as drawn: recorded points of one run, or means over `count` of them with their standard deviation.

    Runs that repeat each other, with the same choices and seed, count once, as their mean.
    `raw_x` and `raw_y` are the values before smoothing, of a single run; else they are empty.
    """

    x: np.ndarray
    y: np.ndarray
    spread: np.ndarray
    count: int
    raw_x: np.ndarray
    raw_y: np.ndarray


_NOTHING = np.zeros(0)


class RunCurves:
    """Follows the runs on screen. A line is computed anew only when one of its runs has new rows."""

    def __init__(self):
        self._series: dict[Path, RunSeries] = {}
        self._lines: OrderedDict[tuple, Line] = OrderedDict()

    def follow(self, runs: Iterable[Listed]) -> None:
        """Read these runs and forget the others; those that are new are read once."""
        wanted = {run.folder: run for run in runs}
        self._series = {key: series for key, series in self._series.items() if key in wanted}
        deadline = monotonic() + _READING_S
        for folder in wanted:
            if folder not in self._series:
                self._series[folder] = RunSeries(folder)
                self._poll(wanted[folder], deadline)

    @property
    def are_behind(self) -> bool:
        """Whether something of a followed run is still to be read."""
        return any(series.is_behind for series in self._series.values())

    def poll(self, runs: Iterable[Listed], also: Iterable[Listed] = ()) -> bool:
        """Whether one of these runs, of those followed, has new rows; of `also` those that are behind are read on."""
        deadline = monotonic() + _READING_S
        behind = [run for run in also if run.folder in self._series and self._series[run.folder].is_behind]
        wanted = {run.folder: run for run in (*runs, *behind) if run.folder in self._series}
        return any([self._poll(run, deadline) for run in wanted.values()])

    def layers(self) -> list[str]:
        """Names of all layers that the followed runs measure, in their order."""
        return list(dict.fromkeys(name for series in self._series.values() for name in series.layers))

    def line(self, group: Group, stream: str, quantity: str, view: View, layer: str | None = None) -> Line:
        """The curve of a group. Of the stream `layers` that of one layer, or the median over all of them.

        Only what is recorded every step is smoothed; a mean is one of smoothed curves.
        """
        versions = tuple((run.folder, self._series[run.folder].version, run.steps_per_epoch) for run in group.runs)
        key = (versions, stream, quantity, view, layer)
        if key not in self._lines:
            self._lines[key] = self._compute(group, stream, quantity, view, layer)
            if len(self._lines) > _MOST_LINES:
                self._lines.popitem(last=False)
        self._lines.move_to_end(key)
        return self._lines[key]

    def heat(self, run: Listed, quantity: str, axis: str) -> tuple[np.ndarray, list[str], np.ndarray]:
        """x, names of layers, and values (layers, x) of one run: at most `NUM_COLUMNS` of its measurements."""
        series = self._series[run.folder]
        x, values = series.table(quantity, axis, run.steps_per_epoch)
        kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), NUM_COLUMNS)).round().astype(int))
        return x[kept], series.layers, values[kept].T

    def moments(self, run: Listed) -> Moments:
        """The recorded spectra of a followed run."""
        return self._series[run.folder].moments

    def rank_changes(self, group: Group, axis: str) -> list[tuple[float, str]]:
        """Where along x the ranks of a group's runs changed, each place once, and what was said of it."""
        marks: dict[float, str] = {}
        for run in group.runs:
            said = self._series[run.folder].rank_changes
            for x, words in zip(self.when(run, list(said), axis), said.values(), strict=True):
                marks.setdefault(float(x), words)
        return sorted(marks.items())

    def when(self, run: Listed, steps: Sequence[int], axis: str) -> np.ndarray:
        """Where steps of a followed run lie along x."""
        return self._series[run.folder].when(steps, axis, run.steps_per_epoch)

    def _poll(self, run: Listed, deadline: float) -> bool:
        try:
            return self._series[run.folder].poll(deadline - monotonic())
        except (ValueError, OSError) as error:  # of this run: the others are drawn
            run.status = {"state": UNREADABLE, "message": str(error)}
            return True

    def _compute(self, group: Group, stream: str, quantity: str, view: View, layer: str | None) -> Line:
        smoothed = stream == "steps" and view.smoothing > 0
        raw, curves = [], []
        for repeats in group.repeats:
            recorded = [self._recorded(run, stream, quantity, view.axis, layer) for run in repeats]
            raw += [(x, y) for x, y in recorded if len(x)]
            lines = [(x, smooth(y, view.smoothing) if smoothed else y) for x, y in recorded if len(x)]
            if lines:
                curves.append(average(lines)[:2] if len(lines) > 1 else lines[0])
        if not curves:
            return Line(_NOTHING, _NOTHING, _NOTHING, 0, _NOTHING, _NOTHING)
        x, y, spread = average(curves)
        kept = _kept(x, y, view.log_x)
        raw_x = raw_y = _NOTHING
        if smoothed and len(raw) == 1:
            shown = _kept(*raw[0], view.log_x)
            raw_x, raw_y = raw[0][0][shown], raw[0][1][shown]
        return Line(x[kept], y[kept], spread[kept], len(curves), raw_x, raw_y)

    def _recorded(self, run: Listed, stream: str, quantity: str, axis: str, layer: str | None):
        series = self._series[run.folder]
        if stream != "layers":
            return series.line(stream, quantity, axis, run.steps_per_epoch)
        x, values = series.table(quantity, axis, run.steps_per_epoch)
        if layer is None:
            return (x, np.median(values, axis=1)) if values.size else (_NOTHING, _NOTHING)
        return (x, values[:, series.layers.index(layer)]) if layer in series.layers else (_NOTHING, _NOTHING)


def _kept(x: np.ndarray, y: np.ndarray, log_x: bool) -> np.ndarray:
    positive = np.flatnonzero(x > 0) if log_x else np.arange(len(x))
    return positive[thin(y[positive], NUM_POINTS, np.log(x[positive]) if log_x else None)]
