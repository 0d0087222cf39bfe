"""Whether the process of a run is still there: a process id alone may be another program's by now."""

import os
from collections.abc import Mapping
from typing import Any

import psutil

_SAME_S = 2.0  # how far two readings of one process's start may lie apart where the clock was set


def own_process() -> dict[str, int | float]:
    """What a status says of the process that writes it: its id, and when it started."""
    return {"pid": os.getpid(), "process_started": psutil.Process().create_time()}


def process_of(status: Mapping[str, Any]) -> psutil.Process | None:
    """The process of this machine that wrote a status; None where it has ended, and its id is free or another's.

    Statuses of older versions do not say when their process started: its command line must name lrexplore then.
    """
    pid, started = status.get("pid"), status.get("process_started")
    if not isinstance(pid, int) or pid <= 0:
        return None
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if started is None:
            same = any("lrexplore" in word for word in process.cmdline())
        else:
            same = abs(process.create_time() - started) < _SAME_S
    except (psutil.Error, OverflowError):
        return None
    return process if same else None
