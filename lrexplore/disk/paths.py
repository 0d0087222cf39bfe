"""Paths of files to write and to read, checked before any work is done for them."""

import os
from pathlib import Path


def output_path(path: str | Path, name: str = "path") -> Path:
    """The path of a file that can be written. Raises FileNotFoundError without its folder, ValueError for a folder."""
    path = Path(path).expanduser()
    if path.is_dir():
        raise ValueError(f"`{name}` must be a file to write, got the folder {path}. Add a file's name to it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"`{name}` must lie in a folder that is there, got {path}. Make the folder first: mkdir -p {path.parent}"
        )
    return path


def input_path(path: str | Path, name: str = "path") -> Path:
    """The path of a file that is there. Raises FileNotFoundError where none is."""
    path = Path(path).expanduser()
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"`{name}` must be a file, got {kind}: {path}. Check the path.")
    return path


def printable(path: str | Path) -> str:
    """A path as text that can be shown and written: bytes that are not UTF-8 as \\xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
