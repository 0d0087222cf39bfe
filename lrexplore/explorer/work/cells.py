"""Which notebook cell displays what: a cell that is run again ends what it displayed before."""

import sys
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

_lock = RLock()


@dataclass
class _Cell:
    """What a cell displays since the request `run` to execute it."""

    run: str = ""
    shows: list[Any] = field(default_factory=list)


_cells: dict[str | None, _Cell] = {}


def cell_of_now() -> str | None:
    """The id of the cell that is being executed; None where there is no notebook, or its front end does not say."""
    return _now()[0]


def remember(thing) -> None:
    """Keep what the cell of now displays, and end what it displayed when it ran before.

    `thing.end()` ends it, but for what another cell displays too. Where the cell is not known everything is kept.
    """
    cell, run = _now()
    with _lock:
        shown = _cells.setdefault(cell, _Cell())
        before = []
        if cell is not None and run != shown.run:
            before, shown.shows = shown.shows, []
        shown.run = run
        if not any(other is thing for other in shown.shows):
            shown.shows.append(thing)
        kept = {id(other) for place in _cells.values() for other in place.shows}
    for other in before:
        if id(other) not in kept:
            other.end()


def forget(thing) -> None:
    """Keep a thing no longer, whichever cells display it."""
    with _lock:
        for cell in _cells.values():
            cell.shows = [other for other in cell.shows if other is not thing]


def _now() -> tuple[str | None, str]:
    """The cell and the request to execute it."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    kernel = getattr(shell, "kernel", None)
    request = kernel.get_parent("shell") if kernel is not None else None
    request = request or {}
    return request.get("metadata", {}).get("cellId"), request.get("header", {}).get("msg_id", "")
