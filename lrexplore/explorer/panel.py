"""The one widget that draws: a layer table, a rank control, readouts and plots, all described by plain data.

It knows nothing of low rank. A frame holds what every rank of one layer shows, so that the browser moves through the
ranks by itself; the kernel is asked only for a frame of another layer and for ranks between those of a coarse table.
"""

import base64
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import anywidget
import numpy as np
import traitlets as t

from lrexplore.explorer.arrays import is_packed, pack

STATIC = Path(__file__).parent / "static"

UNPACKING = """
const bytes = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0));
const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
const script = new Blob([await new Response(plain).arrayBuffer()], { type: "text/javascript" });
const address = URL.createObjectURL(script);
const panel = (await import(address)).default;
URL.revokeObjectURL(address);
export default panel;
"""


class PlotPanel(anywidget.AnyWidget):
    """Widget that draws `table`, `frame` and what changes in them.

    `layer` and `rank` are set by the person or by Python, `error` is emptied when the person closes it; all other
    traits are Python's. Use `show` for a frame with its layer and rank in one message, `amend` for what long work adds
    to it, `send_row` for an exact rank, and `on_cancel` to learn that the cancel button was pressed.
    """

    _esm = t.Unicode().tag(sync=True)
    _css = STATIC / "panel.css"

    table = t.Dict().tag(sync=True)
    layer = t.Unicode().tag(sync=True)
    rank = t.Int(1).tag(sync=True)
    frame = t.Dict().tag(sync=True)
    patch = t.Dict().tag(sync=True)
    busy = t.Bool(False).tag(sync=True)
    progress = t.Float(0.0).tag(sync=True)
    status = t.Unicode().tag(sync=True)
    error = t.Unicode().tag(sync=True)

    @t.default("_esm")
    def _script(self) -> str:
        return packed_script()

    def show(self, frame: Mapping, *, layer: str | None = None, rank: int | None = None) -> None:
        """Replace the frame, and with it the selected layer and the rank, in one message; its arrays are packed here.

        Raises ValueError where the parts of the frame do not fit together.
        """
        frame = pack_arrays(frame)
        check_frame(frame)
        with self.hold_sync():
            self.patch = {}
            self.frame = frame
            if layer is not None:
                self.layer = layer
            if rank is not None:
                self.rank = rank

    def amend(self, patch: Mapping) -> bool:
        """Whether the patch belongs to the frame on screen; if so it is sent, and the frame kept here has it too."""
        if not self.frame or patch.get("key") != self.frame["key"]:
            return False
        patch = pack_arrays(patch)
        apply_patch(self.frame, patch)
        self.patch = patch
        return True

    def send_row(self, rank: int, rows: Mapping[str, list], *, key: str | None = None) -> None:
        """Send the exact rows of one rank: for each plot id one array for each of its by-rank tables, in order."""
        buffers, described = [], {}
        for plot_id, arrays in rows.items():
            described[plot_id] = []
            for array in arrays:
                packed = dict(array if is_packed(array) else pack(array))
                buffers.append(packed["buffer"])
                described[plot_id].append(packed | {"buffer": len(buffers) - 1})
        key = self.frame.get("key", "") if key is None else key
        self.send({"type": "row", "key": key, "rank": int(rank), "rows": described}, buffers)

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Have `callback()` called whenever the cancel button is pressed."""
        self.on_msg(lambda _, content, __: callback() if content.get("type") == "cancel" else None)


@cache
def packed_script() -> str:
    """The panel's script as a module that unpacks itself, at less than half the bytes."""
    return UNPACKING % base64.b64encode(zlib.compress((STATIC / "panel.js").read_bytes(), 9)).decode("ascii")


def apply_patch(frame: dict, patch: Mapping) -> None:
    """Write a patch into a frame, in place, as the browser does."""
    plots = {plot["id"]: plot for plot in frame.get("plots", ())}
    readouts = {readout["id"]: readout for readout in frame.get("readouts", ())}
    for plot_id, change in patch.get("plots", {}).items():
        for trace, attributes in change.get("data", {}).items():
            plots[plot_id]["data"][int(trace)].update(attributes)
    for plot_id, tables in patch.get("by_rank", {}).items():
        for entry, values in tables.items():
            plots[plot_id]["by_rank"][int(entry)]["values"] = values
    for readout_id, values in patch.get("readouts", {}).items():
        readouts[readout_id]["values"] = values


def check_frame(frame: Mapping) -> None:
    """Nothing, if the browser can draw the frame. Raises ValueError that names the part that does not fit."""
    for name in ("key", "max_rank", "ranks", "title", "readouts", "plots"):
        if name not in frame:
            raise ValueError(f"`frame` must have {name!r}, got only {', '.join(map(repr, frame))}. Add it.")
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
