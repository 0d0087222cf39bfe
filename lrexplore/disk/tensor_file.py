"""Our own safetensors files: tensors, and a JSON description that says what they are."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lrexplore.disk.paths import input_path, output_path


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], about: Mapping) -> None:
    """Writes tensors and a JSON description, whose "format" is what `read_tensors` looks for.

    Raises FileNotFoundError where the file's folder is missing, ValueError for a folder in its place.
    """
    from safetensors.torch import save_file

    save_file(dict(tensors), output_path(path), metadata={"lrexplore": json.dumps(about)})


def read_tensors(path: str | Path, format: str, writer: str, way_out: str) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the description in a file that `write_tensors` wrote in this format.

    Raises FileNotFoundError without the file and ValueError, naming its `writer` and the `way_out`, for a file of any
    other kind.
    """
    from safetensors import SafetensorError, safe_open

    path = input_path(path)
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("lrexplore", "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"`path` must be a safetensors file, got {path}: {error}. Save it again.") from None
    if about.get("format") != format:
        raise ValueError(f"`path` must be a file written by `{writer}`, got {path}. {way_out}")
    return tensors, about
