"""Frames and patches as plain data: packed, checked, and a patch written into its frame."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lrexplore.explorer.panel.arrays import is_packed, pack

BOARD = ("key", "title", "readouts", "plots")
RANKED = (*BOARD, "max_rank", "ranks")


def patched(frame: Mapping, patch: Mapping) -> dict:
    """The frame with a patch written into it, as the browser does; the frame itself stays as it is."""
    copy = _copied(frame)
    plots = {plot["id"]: plot for plot in copy.get("plots", ())}
    readouts = {readout["id"]: readout for readout in copy.get("readouts", ())}
    for plot_id, change in patch.get("plots", {}).items():
        _change_plot(plots[plot_id], change)
    for plot_id, tables in patch.get("by_rank", {}).items():
        for entry, values in tables.items():
            plots[plot_id]["by_rank"][int(entry)]["values"] = values
    for readout_id, change in patch.get("readouts", {}).items():
        readouts[readout_id].update({"values": change} if is_packed(change) else change)
    if "slider" in patch:
        copy["slider"].update(patch["slider"])
    copy.update({name: patch[name] for name in ("title", "waiting") if name in patch})
    return copy


def _copied(value: Any) -> Any:
    """Dicts and lists copied, all the way down; bytes and other values are shared."""
    if isinstance(value, Mapping):
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _change_plot(plot: dict, change: Mapping) -> None:
    data = change.get("data", {})
    if isinstance(data, list):
        plot["data"] = data
    else:
        for trace, attributes in data.items():
            plot["data"][int(trace)].update(attributes)
    for number, changes in change.get("images", {}).items():
        plot["images"][int(number)].update(changes)
    if "layout" in change:
        plot["layout"] = _merged(plot.get("layout", {}), change["layout"])
    plot.update({name: change[name] for name in ("title", "caption", "drags") if name in change})


def _merged(base: Mapping, over: Mapping) -> dict:
    """`base` with the entries of `over`, dict by dict."""
    merged = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and not is_packed(value) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def check_frame(frame: Mapping) -> None:
    """Nothing, if the browser can draw the frame. Raises ValueError that names the part that does not fit."""
    for name in BOARD if frame.get("board") else RANKED:
        if name not in frame:
            raise ValueError(f"`frame` must have {name!r}, got only {', '.join(map(repr, frame))}. Add it.")
    if frame.get("board"):
        _check_board(frame)
        return
    (num_ranks,) = frame["ranks"]["shape"]
    for readout in frame["readouts"]:
        if "values" in readout and list(readout["values"]["shape"]) != [frame["max_rank"]]:
            raise ValueError(
                f"`readouts` {readout['id']!r} must hold one value a rank, {frame['max_rank']}, "
                f"got shape {readout['values']['shape']}. Fill ranks that are not known with NaN."
            )
    for plot in frame["plots"]:
        entries = plot.get("by_rank", []) + [image["by_rank"] for image in plot.get("images", ()) if "by_rank" in image]
        for entry in entries:
            shape = entry["shape"] if is_packed(entry) else entry["values"]["shape"]
            if not shape or shape[0] != num_ranks:
                raise ValueError(
                    f"`plots` {plot['id']!r} must hold one row for each of the {num_ranks} `ranks`, "
                    f"got shape {shape}. Send the rows for the ranks in frame['ranks']."
                )


def _check_board(frame: Mapping) -> None:
    for readout in frame["readouts"]:
        if not {"value", "text"} & readout.keys():
            raise ValueError(
                f"`readouts` {readout['id']!r} of a board must have a `value` or a `text`, "
                f"got {', '.join(readout)}. Give None for a value that is not known."
            )
    slider = frame.get("slider")
    if slider is not None and not slider["min"] < slider["max"]:
        raise ValueError(
            f"`slider` must have `min` below `max`, got {slider['min']} and {slider['max']}. Leave it out where "
            "there is nothing to choose."
        )
    for plot in frame["plots"]:
        if plot.get("rank_axis") or plot.get("by_rank"):
            raise ValueError(
                f"`plots` {plot['id']!r} of a board must have no ranks, got `rank_axis` or `by_rank`. Send patches."
            )
        if "drags" in plot:
            _check_drags(plot)


def _check_drags(plot: Mapping) -> None:
    drags = plot["drags"]
    bars, steps = plot["data"][drags["trace"]], drags["steps"]
    if bars.get("type") != "bar" or steps["shape"] != bars["y"]["shape"]:
        raise ValueError(
            f"`drags` of {plot['id']!r} must name a bar trace and hold one of `steps` a bar, got a trace of type "
            f"{bars.get('type')!r} and steps of shape {steps['shape']}. Give as many steps as bars."
        )


def pack_arrays(description):
    """A copy of a description in which every numpy array is packed, also inside lists and dicts."""
    if isinstance(description, np.ndarray) and description.dtype.kind in "fiub":
        return pack(description)
    if isinstance(description, np.ndarray):
        return description.tolist()
    if isinstance(description, np.generic):
        return description.item()
    if is_packed(description):
        return description
    if isinstance(description, Mapping):
        return {key: pack_arrays(value) for key, value in description.items()}
    if isinstance(description, (list, tuple)):
        return [pack_arrays(value) for value in description]
    return description
