"""Files written whole or not at all: what was there before stays until all of the new one is on the disk."""

import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from lrexplore.disk.paths import output_path

_NUMBERS = count()


def write_whole(
    path: str | Path, content: str | bytes | memoryview, *, name: str = "path", durable: bool = True
) -> None:
    """Replaces a file by this content, text as UTF-8; see `whole_file` for what is raised and what `durable` does."""
    with whole_file(path, name=name, durable=durable) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_file(path: str | Path, *, name: str = "path", durable: bool = True) -> Iterator[Path]:
    """A temporary file's path, beside the one wanted; it takes that one's place when the block ends well.

    On any exception the temporary file is removed and what stood at `path` is as before; what a killed process left
    beside it is removed by the next one that writes there. `durable`: the block ends once the file is on the disk, not
    only with the operating system. A device or a pipe is written as it is, a link's file in the link's place.
    Raises what `output_path` raises, and OSError, with a sentence that calls the path `name`, where the disk is full
    or may not be written.
    """
    path = Path(os.path.realpath(output_path(path, name)))
    if path.exists() and not path.is_file():
        with _in_words(path, name):
            yield path
        return
    temporary = path.with_name(f"{_prefix(path)}{os.getpid()}.{next(_NUMBERS)}.new")
    try:
        with _in_words(path, name):
            _remove_left(path)
            yield temporary
            if path.exists():
                shutil.copymode(path, temporary)
            if durable:
                _sync(temporary)
            os.replace(temporary, path)
            if durable:
                with suppress(OSError):  # not every file system does that for a folder
                    _sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _in_words(path: Path, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = type(error) if type(error).__module__ == "builtins" else OSError
        told = kind(
            f"`{name}` must be a place that can be written, got {path}: {error.strerror or error}. Make room or choose "
            "another; a file that was there before is unchanged."
        )
        told.errno = error.errno  # set later: given to the constructor, it would stand before the sentence
        raise told from error


def _prefix(path: Path) -> str:
    """How the names of a target's temporary files start, on this machine; short enough for any file system."""
    return f".{path.name[:120]}.{socket.gethostname()[:60]}."


def _remove_left(path: Path) -> None:
    """Removes the temporary files that dead processes of this machine left beside a target."""
    left = re.compile(re.escape(_prefix(path)) + r"(\d+)\.\d+\.new")
    for entry in os.scandir(path.parent):
        match = left.fullmatch(entry.name)
        if match and not _is_alive(int(match[1])):
            with suppress(OSError):
                os.unlink(entry.path)


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # there, asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
