"""Numbers kept on disk under a hash of everything they depend on."""

import hashlib
import os
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def cache_folder() -> Path:
    """Where curves are kept: $LREXPLORE_CACHE if set, else lrexplore in the platform's folder for caches."""
    if override := os.environ.get("LREXPLORE_CACHE"):
        return Path(override).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lrexplore"


def digest(*parts) -> str:
    """A hash of tensors (values, shape and dtype) and of anything else by its repr."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = part.detach().cpu().contiguous()
            found.update(f"{part.dtype} {tuple(part.shape)}|".encode())
            found.update(part.reshape(-1).view(torch.uint8).numpy())
        else:
            found.update(f"{part!r}|".encode())
    return found.hexdigest()


def recall(key: str) -> dict[str, np.ndarray] | None:
    """The arrays kept under a key; None where there are none, or where the file is damaged."""
    try:
        with np.load(_path(key), allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def keep(key: str, arrays: dict[str, np.ndarray]) -> None:
    """Keeps arrays under a key; a disk that is full or read-only loses nothing but time."""
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            np.savez(file, **arrays)
        os.replace(file.name, path)
    except OSError:
        return


def _path(key: str) -> Path:
    return cache_folder() / "curves" / f"{key}.npz"
