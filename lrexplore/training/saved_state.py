"""Where a run goes on: written whole or not at all."""

import io
from pathlib import Path
from typing import Any

import torch

from lrexplore.disk.whole_file import write_whole
from lrexplore.records.layout import open_file

NAME = "checkpoint.pt"
_VERSION = 1


def save_checkpoint(folder: Path, content: dict[str, Any]) -> None:
    """Writes a checkpoint and returns when it is on the disk; a crash at any moment leaves the earlier one."""
    buffer = io.BytesIO()  # torch.save's own writer hides the reason when a disk is full
    torch.save({"version": _VERSION, **content}, buffer)
    write_whole(folder / NAME, buffer.getbuffer())


def load_checkpoint(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The checkpoint of a run, with its tensors on the device; None where there is none yet.

    Raises ValueError for a file that cannot be read; nothing in it is run.
    """
    path = folder / NAME
    if not path.exists():
        return None
    file = open_file(path)  # torch would wait at a pipe
    try:
        with file:
            content = torch.load(file, map_location=device, weights_only=True)
        version = int(content["version"])
    except MemoryError:
        raise
    except Exception as error:  # what torch and zipfile raise for a torn file depends on where it is torn
        raise ValueError(
            f"`{path}` must be a checkpoint of this run, got a file that cannot be read ({type(error).__name__})."
            " Remove it to start anew."
        ) from error
    if version > _VERSION:
        raise ValueError(
            f"`{path}` must have version {_VERSION} or older, got {version}. Update lrexplore to resume it."
        )
    return content
