"""A panel as one HTML file that needs no kernel and no internet: its script, styles and state are inside."""

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path

from lrexplore.disk.paths import output_path
from lrexplore.disk.whole_file import write_whole
from lrexplore.explorer.panel.arrays import is_packed
from lrexplore.explorer.panel.frames import pack_arrays
from lrexplore.explorer.panel.panel import STATIC, packed_script

STATE = ("table", "layer", "rank", "value", "frame", "status")

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' blob:; \
style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0 auto; padding: 12px 24px; max-width: 1500px; background: light-dark(#fff, #111); }}
h1 {{ font: 600 18px system-ui, sans-serif; color: light-dark(#1f1f1f, #e8e8e8); }}
{css}
</style>
<main><h1>{title}</h1><div id="panel"></div></main>
<script type="application/json" id="state">{state}</script>
<script type="application/json" id="source">{source}</script>
<script type="module">{shim}</script>
</html>
"""

SHIM = """
const read = (id, revive) => JSON.parse(document.getElementById(id).textContent, revive);
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
const { frames, ...state } = read("state", (key, value) => (key === "buffer" ? bytes(value) : value));
const target = new EventTarget();
const callbacks = new Map();
const model = {
  get: (name) => state[name],
  set(name, value) {
    if (state[name] === value) return;
    state[name] = value;
    target.dispatchEvent(new Event(`change:${name}`));
    if (name === "layer" && frames[value]) this.set("frame", frames[value]);
  },
  on(name, callback) {
    callbacks.set(callback, () => callback());
    target.addEventListener(name, callbacks.get(callback));
  },
  off: (name, callback) => target.removeEventListener(name, callbacks.get(callback)),
  save_changes() {},
  send() {},
};
const script = URL.createObjectURL(new Blob([read("source")], { type: "text/javascript" }));
const panel = (await import(script)).default();
panel.initialize({ model });
panel.render({ model, el: document.getElementById("panel") });
"""


def to_html(panel_state: Mapping, path, title: str, *, frames: Mapping[str, Mapping] | None = None) -> Path:
    """Path of the page written: the panel with its rank control at work, without kernel and internet.

    `panel_state` has PlotPanel's traits `table`, `layer`, `rank` and `frame`. `frames` has frames of more layers, by
    layer name; the page's table keeps the layers that have one. A board keeps its table as it is.
    """
    board = bool(panel_state["frame"].get("board"))
    frames = {} if board else {panel_state["layer"]: panel_state["frame"], **(frames or {})}
    table = panel_state.get("table") or {}
    kept = [row for row in table.get("rows", ()) if board or row["name"] in frames]
    defaults = {"rank": 1, "value": 0.0, "patch": {}, "busy": False, "progress": 0.0, "status": "", "error": ""}
    state = defaults | {name: panel_state[name] for name in STATE if name in panel_state}
    state |= {"table": {**table, "rows": kept}, "frames": frames, "frame": panel_state["frame"]}
    path = output_path(path)
    page = PAGE.format(
        title=html.escape(title),
        css=(STATIC / "panel.css").read_text(encoding="utf-8"),
        state=_inline(_readable(pack_arrays(state))),
        source=_inline(packed_script()),
        shim=SHIM,
    )
    write_whole(path, page)
    return path


def _inline(value) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _readable(value):
    if is_packed(value):
        return {**value, "buffer": base64.b64encode(value["buffer"]).decode("ascii")}
    if isinstance(value, Mapping):
        return {key: _readable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(inner) for inner in value]
    return value
