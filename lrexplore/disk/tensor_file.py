"""Our own safetensors files: tensors, and a JSON description that says what they are."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from lrexplore.disk.paths import input_path
from lrexplore.disk.whole_file import whole_file


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], about: Mapping) -> None:
    """Writes tensors and a JSON description, whose "format" is what `read_tensors` looks for.

    Raises FileNotFoundError where the file's folder is missing, ValueError for a folder in its place, OSError where
    the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save, save_file

    metadata = {"lrexplore": json.dumps(about)}
    with whole_file(path) as temporary:
        try:
            if temporary.exists():  # a device or a pipe, which the library would replace by a file
                temporary.write_bytes(save(dict(tensors), metadata=metadata))
            else:
                save_file(dict(tensors), temporary, metadata=metadata)
        except SafetensorError as error:  # its word for a disk that is full
            raise _as_os_error(error) from error


@contextmanager
def fitting(path: str | Path, writer: str) -> Iterator[None]:
    """Says of whatever goes wrong in reading a file's description that it does not fit what `writer` writes."""
    try:
        yield
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(
            f"`path` must be a file written by `{writer}`, got {path} with a description that does not fit "
            f"({type(error).__name__}: {error}). Save it again."
        ) from error


def _described(text: str) -> dict:
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _as_os_error(error: Exception) -> OSError:
    number = re.search(r"os error (\d+)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error))


def read_tensors(path: str | Path, format: str, writer: str, way_out: str) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the description in a file that `write_tensors` wrote in this format.

    Raises FileNotFoundError without the file and ValueError, naming its `writer` and the `way_out`, for a file of any
    other kind.
    """
    from safetensors import SafetensorError, safe_open

    path = input_path(path)
    try:
        with safe_open(path, framework="pt") as file:
            about = _described((file.metadata() or {}).get("lrexplore", "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"`path` must be a safetensors file, got {path}: {error}. Save it again.") from None
    if about.get("format") != format:
        raise ValueError(f"`path` must be a file written by `{writer}`, got {path}. {way_out}")
    return tensors, about
