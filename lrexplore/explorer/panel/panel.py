"""The one widget that draws: a layer table, a rank control, readouts and plots, all described by plain data.

It knows nothing of low rank. A frame holds what every rank of one layer shows, so that the browser moves through the
ranks by itself; the kernel is asked only for a frame of another layer and for ranks between those of a coarse table.
A frame that is a board has no ranks: the kernel redraws it by patches.

A frame is a dict of plain values and numpy arrays:

- `key` tells it from other frames, `title` is its heading ("name · more"), `board` True makes it a board. `about` is
  said in a plot that is saved as a picture, with the title and the rank.
- `max_rank`, `ranks` (those of the tables), `marks` ({"rank", "label"}): the rank control; not on a board.
- `readouts`: {"id", "label", "note", "unit", "format" ("3g" | "int" | "pct" | "si" | "error")} with `values`, one a
  rank, and maybe `near`, 1 where the value is only about right, or `texts`; on a board with one `value` (None while
  unknown: `missing` is shown), `near` for all of it, or `text`.
- `waiting` True, on a board only: all is dimmed and nothing can be moved, for it is not what is chosen.
- `shared_legend` True: one legend above all plots, which hides and shows curves in all of them.
- `slider`, on a board only: {"label", "unit", "min", "max", "step", "marks": [{"value", "label"}]}; it sets `value`.
- `plots`: {"id", "label", "caption", "data" (plotly traces), "layout"} drawn in a grid; `wide` True takes a row.
  With ranks: `rank_axis`, `kept`, `by_rank` ({"trace", "attribute", "values"}).
  On a board: `clicks` True sends a click to `on_point`. `drags` {"trace", "steps", "word"} lets the ends of a vertical
  bar trace be dragged to k / steps[bar], k in 1..steps[bar], shown as "<word> k" and sent on release.
- A plot of `kind` "images" has `images`: {"label", "values" (H, W, 3) uint8 or "by_rank"}, with `notes`, lines of
  text below, and `mark` ("same" | "changed").

A patch has the frame's `key` and any of: `plots` {id: {"data": {trace: attributes} or all traces anew as a list,
"layout", "title", "caption", "images": {number: changes}}}, `by_rank` {id: {entry: values}}, `readouts` {id: values or
changes}, `title`, `waiting`, `slider`, and `value`, the slider's value that it answers: the slider goes
there unless the person has moved on.
"""

import base64
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import anywidget
import traitlets as t

from lrexplore.explorer.panel.arrays import is_packed, pack
from lrexplore.explorer.panel.frames import check_frame, pack_arrays, patched
from lrexplore.explorer.work.locked_state import LockedWidget

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


@dataclass(frozen=True)
class Point:
    """A point that was clicked: of which plot and trace, its index ((row, column) of a heat map), where it lies.

    `step` is None for a click; of a bar that was dragged it is the k at which it was let go.
    """

    plot: str
    trace: int
    index: int | list[int]
    x: float | str
    y: float | str
    step: int | None = None


class PlotPanel(LockedWidget, anywidget.AnyWidget):
    """Widget that draws `table`, `frame` and what changes in them.

    `layer`, `rank`, `value` (of a board's slider) and `checked` are set by the person or by Python, `error` is emptied
    when the person closes it; all other traits are Python's. A table with `checks` True has a check box a row, whose
    names are `checked`; given anew with the same columns and label it is changed in place, and a board shows it.
    A column with `order` "given" is sorted as its rows came, not by the alphabet; one with `follows` "rank" shows that
    of the selected row, and a value other than the row's `usual` one as set by hand.
    Use `show` for a frame with its layer and rank in one message, `amend` for what long work adds to it, `send_row`
    for an exact rank, `on_cancel` and `on_point` to learn what was pressed.
    """

    _esm = t.Unicode().tag(sync=True)
    _css = t.Unicode().tag(sync=True)  # no path: anywidget would hold every panel for the sake of the file's changes

    table = t.Dict().tag(sync=True)
    layer = t.Unicode().tag(sync=True)
    rank = t.Int(1).tag(sync=True)
    frame = t.Dict().tag(sync=True)
    patch = t.Dict().tag(sync=True)
    busy = t.Bool(False).tag(sync=True)
    progress = t.Float(0.0).tag(sync=True)
    status = t.Unicode().tag(sync=True)
    error = t.Unicode().tag(sync=True)
    value = t.Float(0.0).tag(sync=True)
    checked = t.List(t.Unicode()).tag(sync=True)

    @t.default("_css")
    def _styles(self) -> str:
        return (STATIC / "panel.css").read_text(encoding="utf-8")

    @t.default("_esm")
    def _script(self) -> str:
        return packed_script()

    def show(
        self, frame: Mapping, *, layer: str | None = None, rank: int | None = None, value: float | None = None
    ) -> None:
        """Replace the frame, and with it layer, rank or a slider's value, in one message; its arrays are packed here.

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
            if value is not None:
                self.value = value

    def amend(self, patch: Mapping) -> bool:
        """Whether the patch belongs to the frame on screen; if so it is sent, and the frame kept here has it too."""
        with self.lock:
            if not self.frame or patch.get("key") != self.frame["key"]:
                return False
            patch = pack_arrays(patch)
            # Whoever reads the frame meanwhile keeps it: it is replaced, without a message, for that is the patch.
            self._trait_values["frame"] = patched(self.frame, patch)
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

    def on_point(self, callback: Callable[["Point"], None]) -> None:
        """Have `callback(point)` called for every click on a plot with `clicks`, and for every bar dragged."""

        def receive(_, content, __):
            if content.get("type") == "point":
                callback(Point(**{name: content.get(name) for name in Point.__annotations__}))

        self.on_msg(receive)


@cache
def packed_script() -> str:
    """The panel's script as a module that unpacks itself, at less than half the bytes."""
    return UNPACKING % base64.b64encode(zlib.compress((STATIC / "panel.js").read_bytes(), 9)).decode("ascii")
