"""Paths of files to write and to read, checked before any work is done for them."""

import os
from pathlib import Path

_LONGEST_NAME, _LONGEST = 255, 4095  # bytes, of most file systems


def as_path(path: str | Path, name: str = "path") -> Path:
    """The path, with a home folder's ~ written out. Raises TypeError and ValueError for what no file can be called."""
    given = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(given, str):
        raise TypeError(f"`{name}` must be a path, got a {type(path).__name__}. Pass a str or a pathlib.Path.")
    try:
        size, longest = len(os.fsencode(given)), max((len(os.fsencode(part)) for part in Path(given).parts), default=0)
        if "\0" in given or size > _LONGEST or longest > _LONGEST_NAME:
            raise ValueError("NUL or too long")
        return Path(given).expanduser()
    except (ValueError, RuntimeError) as error:  # a home that is not known
        shown = given.encode("utf-8", "backslashreplace").decode()[:60]
        raise ValueError(
            f"`{name}` must be a path that a file can have, got {shown!r} ({error}). Use another."
        ) from None


def output_path(path: str | Path, name: str = "path") -> Path:
    """The path of a file that can be written. Raises FileNotFoundError without its folder, ValueError for a folder."""
    path = as_path(path, name)
    if path.is_dir():
        raise ValueError(f"`{name}` must be a file to write, got the folder {path}. Add a file's name to it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"`{name}` must lie in a folder that is there, got {path}. Make the folder first: mkdir -p {path.parent}"
        )
    return path


def input_path(path: str | Path, name: str = "path") -> Path:
    """The path of a file that is there. Raises FileNotFoundError where none is."""
    path = as_path(path, name)
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"`{name}` must be a file, got {kind}: {path}. Check the path.")
    return path


def made_folder(path: str | Path, name: str = "path") -> Path:
    """The folder, made with those above it where it was not there. Raises OSError where it cannot be."""
    path = as_path(path, name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        kind = type(error) if type(error).__module__ == "builtins" else OSError
        told = kind(
            f"`{name}` must be a folder that can be made, got {printable(path)}: {error.strerror}. Choose another."
        )
        told.errno = error.errno
        raise told from error
    return path


def printable(path: str | Path) -> str:
    """A path as text that can be shown and written: bytes that are not UTF-8 as \\xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
