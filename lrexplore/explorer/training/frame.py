"""The board of the training tab: title, readouts and plots of the runs that are compared, and its table of runs."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from lrexplore.explorer.training.compute import MEDIAN, RunCurves
from lrexplore.explorer.training.figures import (
    EPOCH_QUANTITIES,
    LAYER_QUANTITIES,
    STEP_QUANTITIES,
    Quantity,
    curve_plot,
    heat_plot,
)
from lrexplore.explorer.training.groups import Group, group_runs, shared
from lrexplore.explorer.training.listed import Listed
from lrexplore.explorer.training.spectra.spectra_figures import spectra_heat, spectrum_plot
from lrexplore.explorer.training.state import EVERY_LAYER, NO_BASELINE, UNFACTORIZED_RUNS, TrainingState
from lrexplore.records.schema import UNREADABLE

COLUMNS = [
    {"key": "name", "label": "run"},
    {"key": "state", "label": "state"},
    {"key": "model", "label": "model"},
    {"key": "initializer", "label": "initializer"},
    {"key": "rank_scale", "label": "rank scale", "align": "right"},
    {"key": "decay", "label": "decay"},
    {"key": "seed", "label": "seed", "align": "right"},
    {"key": "step", "label": "step", "align": "right"},
    {"key": "held_out", "label": "held-out top-1", "unit": "%", "align": "right"},
    {"key": "test", "label": "test top-1", "unit": "%", "align": "right"},
]
# Of runs that fine-tune; their held-out top-1 is that after fine-tuning.
CUT_COLUMNS = [
    {"key": "before_cut", "label": "before the cut", "unit": "%", "align": "right"},
    {"key": "after_cut", "label": "after the cut", "unit": "%", "align": "right"},
]

SMOOTHING = {
    "label": "smoothing", "unit": "weight of the past", "min": 0, "max": 0.999, "step": 0.001,
    "marks": [{"value": 0, "label": "none"}, {"value": 0.9, "label": "0.9"}],
}  # fmt: skip


def run_table(runs: Sequence[Listed], folder: str) -> dict:
    """The table of runs as the panel takes it: display values, one check box a run."""
    was_cut = any("after_cut_top1" in run.status for run in runs)
    columns = [*COLUMNS[:-2], *CUT_COLUMNS, *COLUMNS[-2:]] if was_cut else COLUMNS
    return {"label": f"runs in {folder}", "columns": columns, "rows": [_row(run) for run in runs], "checks": True}


def _row(run: Listed) -> dict:
    config, status = run.config, run.status
    if run.state == UNREADABLE:
        return {"name": run.name, "disabled": f"cannot be read: {status.get('message', '')}"}
    step, of = status.get("step"), status.get("num_steps")
    scale = next((f"{config[key]:g}" for key in ("rank_scale", "rank_ratio") if config.get(key) is not None), "")
    return {
        "name": run.name,
        "state": run.said,
        "model": config.get("model", ""),
        "initializer": config.get("initializer", "") if run.is_factorized else "unfactorized",
        "rank_scale": scale or ("plan" if config.get("plan") else "–"),
        "decay": config.get("decay", ""),
        "seed": str(config.get("seed", "")),
        "step": "–" if step is None or not of else f"{step:,}" if step == of else f"{step:,} of {of:,}",
        "before_cut": _percent(status.get("before_cut_top1")),
        "after_cut": _percent(status.get("after_cut_top1")),
        "held_out": _percent(status.get("held_out_top1")),
        "test": _percent(status.get("test_top1")),
    }


def baseline_runs(runs: Sequence[Listed], checked: Sequence[Listed], baseline: str) -> list[Listed]:
    """The runs drawn as baseline: none, the unfactorized ones of the networks and data compared, or one by name."""
    if baseline == NO_BASELINE:
        return []
    if baseline != UNFACTORIZED_RUNS:
        return [run for run in runs if run.name == baseline]
    wanted = {(run.config.get("model"), run.config.get("data")) for run in checked}
    whole = [run for run in runs if not run.is_factorized and run.state != UNREADABLE]
    return [run for run in whole if (run.config.get("model"), run.config.get("data")) in wanted]


def build_board(runs: Sequence[Listed], state: TrainingState, curves: RunCurves) -> dict:
    """The frame of the tab, numpy arrays inside. The runs must be followed by `curves`, the baseline's too."""
    by_name = {run.name: run for run in runs}
    checked = [by_name[name] for name in state.checked if name in by_name]
    dashed = baseline_runs(runs, checked, state.baseline)
    groups = group_runs(checked, state.grouping, dashed, runs)
    step, epoch = STEP_QUANTITIES[state.step_quantity], EPOCH_QUANTITIES[state.epoch_quantity]
    plots = [_curves(quantity, groups, state, curves) for quantity in (step, epoch)]
    plots += [_layers(quantity, groups, by_name.get(state.selected), state, curves)
              for quantity in LAYER_QUANTITIES.values()]  # fmt: skip
    plots += _spectra(groups, by_name.get(state.selected), state, curves)
    words = _said(runs, checked, state.folder)
    if checked and not dashed and state.baseline != NO_BASELINE:
        words += f" · {_missing_baseline(state.baseline)}"
    frame = {"key": "training", "board": True, "title": f"Training · {words}", "shared_legend": True}
    if not runs:
        return {**frame, "readouts": [], "plots": []}
    readouts = _readouts(groups, curves, by_name.get(state.selected))
    return {**frame, "readouts": readouts, **({"slider": SMOOTHING, "plots": plots} if checked else {"plots": []})}


def _said(runs: Sequence[Listed], checked: Sequence[Listed], folder: str) -> str:
    """How many runs there are and are compared, and what is alike in them; what to do where there are none."""
    if not runs:
        return f"{_nothing_in(Path(folder).expanduser())}: start one with new run …, or choose another folder"
    live = sum(run.is_live for run in runs)
    counts = [f"{len(checked)} of {len(runs)} runs compared", *([f"{live} live"] if live else [])]
    counts += [] if checked else ["check some in the table"]
    counts += [f"all {alike}"] if len(checked) > 1 and (alike := shared(checked)) else []
    return " · ".join(counts)


def _nothing_in(folder: Path) -> str:
    """Why there are no runs: a folder without any, or none of that name, with those that are called nearly so."""
    if folder.is_dir():
        return f"no runs in {folder} yet"
    if folder.exists():
        return f"{folder} is a file, no folder of runs"
    beside = [place.name for place in folder.parent.glob("*") if place.is_dir()] if folder.parent.is_dir() else []
    near = ", ".join(get_close_matches(folder.name, beside, 3))
    return f"there is no folder {folder}{f' (near: {near})' if near else ''}"


def _missing_baseline(baseline: str) -> str:
    """That nothing is drawn as baseline."""
    if baseline == UNFACTORIZED_RUNS:
        return "no baseline: no unfactorized run of what is compared"
    return f"no baseline: there is no run {baseline}"


def _curves(quantity: Quantity, groups, state: TrainingState, curves: RunCurves, layer: str | None = None) -> dict:
    drawn = [(group, curves.line(group, quantity.stream, quantity.column, state.view, layer)) for group in groups]
    of = (layer or MEDIAN) if quantity.stream == "layers" else ""
    changes = [(group, *change) for group in groups for change in curves.rank_changes(group, state.axis)]
    return curve_plot(quantity, drawn, state.view, log_y=state.log_y, of=of, changes=changes)


def _layers(quantity: Quantity, groups, selected: Listed | None, state: TrainingState, curves: RunCurves) -> dict:
    if state.layer == EVERY_LAYER and selected is not None:
        return heat_plot(quantity, selected.name, *curves.heat(selected, quantity.column, state.axis), state.view)
    layer = None if state.layer in (MEDIAN, EVERY_LAYER) else state.layer
    return _curves(quantity, groups, state, curves, layer)


def _spectra(groups: Sequence[Group], selected: Listed | None, state: TrainingState, curves: RunCurves) -> list[dict]:
    """The map of all layers and the spectrum of one, where the selected run has recorded them."""
    moments = None if selected is None else curves.moments(selected)
    if not moments:
        return []
    x = curves.when(selected, moments.steps, state.axis)
    layer = state.spectrum_layer if state.spectrum_layer in moments.names else moments.names[0]
    shown = {run.name: run for group in groups for run in group.runs} | {selected.name: selected}
    followed = {name: curves.moments(run) for name, run in shown.items()}
    step = moments.steps[min(state.moment, len(moments) - 1)]
    return [
        spectra_heat(state.spectra_quantity, selected, moments, x, state.view),
        spectrum_plot(layer, step, selected.name, followed, groups, log_y=state.log_y),
    ]


def _readouts(groups: Sequence[Group], curves: RunCurves, selected: Listed | None) -> list[dict]:
    """Where the best curve ended, and what the selected run does."""
    view = TrainingState().view
    ends = []
    for group in (group for group in groups if not group.is_baseline):
        line = curves.line(group, "epochs", "held_out_top1", view)
        if len(line.y):
            ends.append((float(line.y[-1]), float(line.spread[-1]), line.count, group))
    best, spread, count, group = max(ends, key=lambda end: end[0], default=(None, np.nan, 0, None))
    note = "no epoch is over yet" if group is None else group.label
    note += f", standard deviation {spread:.2g}" if count > 1 else ""
    status = {} if selected is None else selected.status
    step, of = status.get("step"), status.get("num_steps")
    has_step = step is not None and of
    return [
        {"id": "best", "label": "highest held-out top-1, last epoch", "value": best, "unit": "%", "format": "3g",
         "note": note},
        {"id": "state", "label": "selected run", "text": "none" if selected is None else selected.said,
         "note": "" if selected is None else selected.name},
        {"id": "progress", "label": "its step", "text": f"{step:,}" if has_step else "–",
         "unit": f"of {of:,}" if has_step else "", "note": _time_left(status)},
        {"id": "speed", "label": "its speed", "value": status.get("images_per_s"), "unit": "images/s", "format": "3g",
         "note": "at its last recorded step"},
    ]  # fmt: skip


def _time_left(status: dict) -> str:
    """The time that the remaining steps take if they go on like those so far."""
    step, of, wall_s = (status.get(key) for key in ("step", "num_steps", "wall_s"))
    if status.get("state") != "running" or not step or not of or not wall_s:
        return "" if wall_s is None else f"trained for {_duration(wall_s)}"
    return f"about {_duration((of - step) * wall_s / step)} of training left"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
