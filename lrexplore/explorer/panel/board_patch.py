"""The patch that turns one board into another, where only numbers and words changed."""

from collections.abc import Mapping

import numpy as np

_WORDS = ("caption", "layout")


def patch_between(before: Mapping, after: Mapping) -> dict | None:
    """What `PlotPanel.amend` takes to show `after` in the place of `before`; numpy arrays inside.

    Empty where nothing changed. None where more changed than arrays, readouts and captions: another plot, another
    trace, another name or color; then `after` must be shown as a whole.
    """
    if not before or _form(before) != _form(after):
        return None
    plots = {}
    for old, new in zip(before["plots"], after["plots"], strict=True):
        data = {}
        for place, (was, now) in enumerate(zip(old["data"], new["data"], strict=True)):
            changed = {name: value for name, value in now.items() if not _same(value, was[name])}
            if changed:
                data[str(place)] = changed
        change = {name: new[name] for name in _WORDS if new.get(name) != old.get(name)}
        if data or change:
            plots[new["id"]] = {**({"data": data} if data else {}), **change}
    readouts = {}
    for old, new in zip(before["readouts"], after["readouts"], strict=True):
        if old != new:
            readouts[new["id"]] = {name: value for name, value in new.items() if value != old.get(name)}
    words = {} if before["title"] == after["title"] else {"title": after["title"]}
    if not (plots or readouts or words):
        return {}
    return {"key": after["key"], "plots": plots, "readouts": readouts, **words}


def _form(frame: Mapping) -> list:
    """All of a board that a patch cannot change."""
    plots = [
        (plot["id"], plot["label"], [{name: _stub(value) for name, value in trace.items()} for trace in plot["data"]])
        for plot in frame["plots"]
    ]
    readouts = [(readout["id"], readout["label"], sorted(readout)) for readout in frame["readouts"]]
    return [frame["key"], plots, readouts, frame.get("slider")]


def _stub(value):
    return "array" if isinstance(value, np.ndarray) else value


def _same(now, was) -> bool:
    if not isinstance(now, np.ndarray):
        return now == was
    return now.shape == was.shape and np.array_equal(now, was, equal_nan=True)
