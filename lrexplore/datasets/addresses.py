"""Where shards lie, written out and opened: a path, an address, or a command that a person typed."""

import itertools
import os
import re
import stat
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

COMMAND = "pipe:"
_MOST = 100_000
_MOST_BYTES = 10_000_000
_GROUP = re.compile(r"\{([^{}]*)\}")
_SPAN = re.compile(r"(\d{1,18})\.\.(\d{1,18})")
_PLAIN = re.compile(r"[\w.+=@%,~/-]+")


def is_address(name: str) -> bool:
    """Whether a name is the address of a file, or a command that prints it, and no path."""
    return "://" in name or name.startswith(COMMAND)


def local_path(address: str) -> Path | None:
    """The path of an address on this machine; None for one elsewhere."""
    if address.startswith("file://"):
        return Path(urllib.request.url2pathname(urlparse(address).path))
    return None if is_address(address) else Path(address).absolute()


def read_address(address: str) -> bytes:
    """The content of a small file. Raises OSError where it cannot be read."""
    if (path := local_path(address)) is not None:
        with open(path, "rb") as file:
            return file.read(_MOST_BYTES)
    if address.startswith(COMMAND):
        done = subprocess.run(address.removeprefix(COMMAND), shell=True, stdout=subprocess.PIPE)
        if done.returncode:
            raise OSError(f"the command ended with status {done.returncode}")
        return done.stdout
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read(_MOST_BYTES)


def open_shard(address: str):
    """The bytes of a shard, to be read once. `pipe:` is taken from nobody but whoever typed the manifest's address."""
    if (path := local_path(address)) is not None:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError("it is no file")
        return open(path, "rb")
    load_webdataset()
    from webdataset import utils
    from webdataset.gopen import Pipe, gopen

    if address.startswith(COMMAND):
        return Pipe(address.removeprefix(COMMAND), mode="rb", shell=True, ignore_status=[141])
    utils.enforce_security = True  # no commands and no local files by another way
    return gopen(address)


def beside(manifest: str, pattern: str) -> list[str]:
    """The addresses that a pattern in a manifest means: beside it, with `{000..146}`, `{a,b}` and `${NAME}` (the
    variable WDS_NAME) written out, several with `::` between them.

    Raises ValueError for braces in braces, more than 100,000 shards, a variable that is not set, and, where a shell or
    a server gets to see it, a name that is more than a name.
    """
    path = local_path(manifest)
    base = str(path.parent) if path is not None else manifest.rpartition("/")[0]
    names = [name for part in pattern.split("::") for name in written_out(_with_variables(part))]
    if path is None:
        for name in names:
            if not _PLAIN.fullmatch(name) or name.startswith("-"):
                raise ValueError(
                    f"`shards` must be names of files beside {manifest}, got {name!r}. Use letters, digits and ._-/"
                )
    return [f"{base}/{name}" for name in names]


def written_out(pattern: str) -> list[str]:
    """Every name that a pattern with `{a,b}` and `{0..9}` stands for, in its order."""
    pieces = _GROUP.split(pattern)  # text and the inside of braces, in turns
    if any("{" in text or "}" in text for text in pieces[::2]):
        raise ValueError(f"`shards` must have no braces in braces and none that stay open, got {pattern!r}. List them.")
    choices, count = [], 1
    for number, piece in enumerate(pieces):
        span = _SPAN.fullmatch(piece) if number % 2 else None
        size = abs(int(span[2]) - int(span[1])) + 1 if span else piece.count(",") + 1 if number % 2 else 1
        count *= size
        if count > _MOST:
            raise ValueError(f"`shards` must be at most {_MOST:,}, got more in {pattern!r}. Write fewer, larger ones.")
        choices.append(list(_numbers(*span.groups())) if span else piece.split(",") if number % 2 else [piece])
    return ["".join(parts) for parts in itertools.product(*choices)]


def load_webdataset():
    """The library. Raises ModuleNotFoundError without it."""
    try:
        import webdataset
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "`shards` need webdataset, got an environment without it. Install the extra: pip install -e '.[webdataset]'"
        ) from error
    return webdataset


def _numbers(first: str, last: str) -> Iterator[str]:
    step = 1 if int(first) <= int(last) else -1
    width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
    return (f"{number:0{width}d}" for number in range(int(first), int(last) + step, step))


def _with_variables(pattern: str) -> str:
    def value(variable: re.Match) -> str:
        name = f"WDS_{variable[1]}"
        if name not in os.environ:
            raise ValueError(f"`{name}` must be set for the shards {pattern!r}, got no such variable. Export it.")
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", value, pattern)
