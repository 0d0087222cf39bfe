"""Numbers kept on disk under a hash of everything they depend on."""

import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np

from lrexplore.disk.whole_file import whole_file

DEFAULT_GB = 2.0
_LOOK_EVERY = 64  # files kept between two looks at the folder's size: a look takes some microseconds a file
_num_kept: dict[Path, int] = {}


def cache_folder() -> Path:
    """Where curves are kept: $LREXPLORE_CACHE if set, else lrexplore in the platform's folder for caches."""
    from platformdirs import user_cache_path

    if override := os.environ.get("LREXPLORE_CACHE"):
        return Path(override).expanduser()
    return user_cache_path("lrexplore", appauthor=False)


def cache_limit_bytes() -> float:
    """What the folder may hold: $LREXPLORE_CACHE_GB if that is a number >= 0, else 2 GB."""
    try:
        limit_gb = float(os.environ.get("LREXPLORE_CACHE_GB", DEFAULT_GB))
    except ValueError:
        limit_gb = DEFAULT_GB
    return 1e9 * (limit_gb if limit_gb >= 0 else DEFAULT_GB)


def recall(key: str) -> dict[str, np.ndarray] | None:
    """The arrays kept under a key; None where there are none, or where the file is damaged."""
    path = _path(key)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
    with suppress(OSError):  # a folder that may only be read
        os.utime(path)  # what was used last is removed last
    return arrays


def keep(key: str, arrays: dict[str, np.ndarray]) -> None:
    """Keeps arrays under a key, and removes those used longest ago where the folder holds more than it may.

    A disk that is full or read-only loses nothing but time.
    """
    path = _path(key)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, durable=False) as temporary, open(temporary, "wb") as file:
            np.savez(file, **cast("dict[str, Any]", arrays))  # any name might be an option, by its types
        count = _num_kept[path.parent] = _num_kept.get(path.parent, -1) + 1
        if count % _LOOK_EVERY == 0:
            _shrink(path.parent)


def _shrink(folder: Path) -> None:
    """Removes the files used longest ago until the folder holds what it may."""
    kept = []
    for entry in os.scandir(folder):
        with suppress(OSError):  # another process removed it
            about = entry.stat()
            kept.append((about.st_mtime_ns, about.st_size, entry.path))
    limit, total = cache_limit_bytes(), sum(size for _, size, _ in kept)
    for _, size, path in sorted(kept):
        if total <= limit:
            return
        with suppress(OSError):
            os.unlink(path)
        total -= size


def _path(key: str) -> Path:
    return cache_folder() / "curves" / f"{key}.npz"
