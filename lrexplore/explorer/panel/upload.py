"""A place in the browser to drop files on, whose bytes come in parts that every notebook server lets pass."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anywidget
import traitlets as t

from lrexplore.explorer.work.locked_state import LockedWidget

SOURCE = Path(__file__).parent / "static" / "src"
PART_BYTES = 2**20  # a server closes the connection over a message of 10 MB


@dataclass
class _Sending:
    """Files of which parts have come."""

    number: str
    names: list[str]
    left_out: list[str]
    contents: list[bytearray] = field(default_factory=list)
    num_bytes: int = 0


class Upload(LockedWidget, anywidget.AnyWidget):
    """A button that opens the browser's files, and a place to drop some on.

    At most `most_files` are sent, of together `most_bytes`; the browser names what it does not send, and what comes
    over that nevertheless is refused. `on_files` hears of them when all are there.
    """

    _esm = t.Unicode().tag(sync=True)
    _css = t.Unicode().tag(sync=True)  # no path: anywidget would hold every widget for the sake of the file's changes

    label = t.Unicode("choose images, or drop them here").tag(sync=True)
    accept = t.Unicode("image/*").tag(sync=True)
    most_files = t.Int().tag(sync=True)
    most_bytes = t.Int().tag(sync=True)
    part_bytes = t.Int(PART_BYTES).tag(sync=True)

    def __init__(self, *, most_files: int, most_bytes: int):
        super().__init__(most_files=most_files, most_bytes=most_bytes)
        self._take: Callable[[list[tuple[str, bytes]], list[str]], None] = lambda files, left_out: None
        self._sending: _Sending | None = None
        self.on_msg(lambda _, content, buffers: self._receive(content, buffers))

    @t.default("_esm")
    def _script(self) -> str:
        return (SOURCE / "upload.js").read_text(encoding="utf-8")

    @t.default("_css")
    def _styles(self) -> str:
        return (SOURCE / "upload.css").read_text(encoding="utf-8")

    def on_files(self, take: Callable[[list[tuple[str, bytes]], list[str]], None]) -> None:
        """Have `take(files, left_out)` called with names and contents, and the names of files that were not sent."""
        self._take = take

    def _receive(self, content: dict, buffers: list) -> None:
        kind, number = content.get("type"), str(content.get("number"))
        with self.lock:
            if kind == "begin":
                names = [str(name) for name in content.get("names", ())][: self.most_files]
                self._sending = _Sending(number, names, [str(name) for name in content.get("left_out", ())])
                self._sending.contents = [bytearray() for _ in names]
            sending = self._sending
            if sending is None or sending.number != number:  # another view, or later files, took its place
                self.send({"type": "refused", "number": number})
                return
            if kind == "part":
                part = bytes(buffers[0])
                place = int(content["file"])
                sending.num_bytes += len(part)
                if sending.num_bytes > self.most_bytes or not 0 <= place < len(sending.contents):
                    self._sending = None
                    self.send({"type": "refused", "number": number})
                    return
                sending.contents[place] += part
            if kind == "end":
                self._sending = None
            self.send({"type": "more", "number": number})
        if kind == "end":
            self._take([*zip(sending.names, map(bytes, sending.contents), strict=True)], sending.left_out)
