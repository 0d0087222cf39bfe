"""What a file of weights holds, read without running code: torch, safetensors, shards with an index, their folders."""

import argparse
import codecs
import difflib
import json
import pathlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".tar", ".safetensors")
_INDEX = ".index.json"
_SHARD = re.compile(r"(.*?)-?(\d{4,})-of-(\d{4,})(\..*)")
# Of a folder, the file that is its weights whatever else is there.
_WHOLE = ("checkpoint.pt", "model.safetensors", "pytorch_model.bin", "model.pt", "model.pth")
_KINDS = (
    (b"version https://git-lfs", "a pointer of Git LFS in the place of the file", "Fetch it: git lfs pull."),
    (b"<", "a page of the web", "Download the file itself again."),
    (b"\x89HDF", "an HDF5 file, as Keras writes them", "Convert it to PyTorch first."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first."),
    (b"GGUF", "a GGUF file", "Take the weights it was made of."),
)


def read_file(path: str | Path) -> object:
    """The content of a file of weights, of all shards that it is one of, or of those in a folder, on the CPU.

    Torch files are read with `weights_only=True`: a pickle with code in it is refused and never run; plain records of
    options, numpy's numbers and arrays and paths, which training scripts put beside the weights, are known by name.
    Raises FileNotFoundError, IsADirectoryError for a folder without one file to choose, ValueError for any other file.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        path = _file_in(path)
    if not path.is_file():
        raise FileNotFoundError(f"`{path}` must be a checkpoint file, got no such {_missing(path)}")
    if path.name.endswith(_INDEX):
        return _read_shards(path)
    if shard := _SHARD.fullmatch(path.name):
        name, _, count, suffix = shard.groups()
        index = path.with_name(f"{name}{suffix}{_INDEX}")
        return _read_shards(index) if index.is_file() else _merged(path, _siblings(path, name, int(count), suffix))
    return _read_one(path)


def _file_in(folder: Path) -> Path:
    indices = sorted(folder.glob(f"*{_INDEX}"))
    if indices and not any((folder / name).is_file() for name in _WHOLE[1:]):
        return indices[0]
    whole = [folder / name for name in _WHOLE if (folder / name).is_file()]
    files = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES and file.is_file())
    is_run = (folder / "run.json").is_file()
    if whole or not is_run and files and (len(files) == 1 or all(_SHARD.fullmatch(file.name) for file in files)):
        return (whole or files)[0]
    way_out = f"Name a file in it: {', '.join(file.name for file in files[:3])}."
    if not files:
        way_out = "No checkpoint is in it: name another."
    if is_run:
        way_out = "It is that of a run: give `lr.load(folder)`."
    if any(folder.glob("*.distcp")):
        way_out = (
            "It is one of torch.distributed: make a file of it with"
            " `python -m torch.distributed.checkpoint.format_utils dcp_to_torch`."
        )
    raise IsADirectoryError(f"`{folder}` must be a checkpoint file, got a folder. {way_out}")


def _missing(path: Path) -> str:
    """The first part of a path that is not there, and what is there of a similar name."""
    place = next(place for place in reversed([path, *path.parents]) if not place.exists())
    there = [other.name for other in place.parent.iterdir()] if place.parent.is_dir() else []
    near = difflib.get_close_matches(place.name, there, 3)
    kind = "file" if place == path else f"folder as {place}"
    return f"{kind}. " + (f"Near: {', '.join(near)}." if near else "Check the path.")


def _read_shards(index: Path) -> dict[str, object]:
    try:
        files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        outside = any(Path(file).name != file for file in files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"`{index.name}` must be the index of shards, with a `weight_map`, got a file that cannot be read as one "
            f"({type(error).__name__}). Copy or download it again."
        ) from error
    if outside:
        raise ValueError(f"`{index.name}` must name files beside it, got others. Move the shards to their index.")
    return _merged(index, [index.with_name(file) for file in sorted(files)])


def _siblings(path: Path, name: str, count: int, suffix: str) -> list[Path]:
    shards = {int(match[2]): file for file in path.parent.iterdir() if (match := _SHARD.fullmatch(file.name))
              and (match[1], int(match[3]), match[4]) == (name, count, suffix)}  # fmt: skip
    first = min(shards)
    return [shards.get(number, path.with_name(f"shard {number} of {count}")) for number in range(first, first + count)]


def _merged(path: Path, shards: list[Path]) -> dict[str, object]:
    gone = [shard.name for shard in shards if not shard.is_file()]
    if gone:
        raise FileNotFoundError(
            f"`{path.name}` must have all of its {len(shards)} shards beside it, got all but {', '.join(gone[:3])}. "
            "Download the rest."
        )
    content: dict[str, object] = {}
    for shard in shards:
        part = _read_one(shard)
        content.update(part if isinstance(part, Mapping) else {})
    return content


def _read_one(path: Path) -> object:
    with open(path, "rb") as file:
        start = file.read(64)
    # A file is what it holds, whatever it is called.
    is_safetensors = start[8:9] == b"{" if path.suffix != ".safetensors" else not start.startswith(b"PK")
    for magic, kind, way_out in _KINDS:
        if start.lstrip().startswith(magic):
            raise ValueError(f"`{path.name}` must be a checkpoint, got {kind}, which cannot be read. {way_out}")
    return _read_safetensors(path) if is_safetensors else _read_torch(path)


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        with safe_open(path, framework="pt") as file:
            own = (file.metadata() or {}).get("lrexplore", "")
        _refuse_own_file(path, own)
        return load_file(path, device="cpu")
    except SafetensorError as error:
        raise ValueError(
            f"`{path.name}` must be a safetensors file, got one that cannot be read ({error})."
            " Copy or download it again."
        ) from error


def _refuse_own_file(path: Path, about: str) -> None:
    """Raises ValueError for what lrexplore itself wrote, by the description in it: these are no plain state dicts."""
    for kind, way_out in (
        ("network", "Load it with `lr.load(path)`; `lr.collapse` of that has ordinary layers."),
        ("calibration", "Load it with `lr.Calibration.load(path)`."),
    ):
        if f"lrexplore {kind}" in about:
            raise ValueError(f"`{path.name}` must be a checkpoint, got a {kind} that lrexplore saved. {way_out}")


def _harmless() -> list[Any]:
    """Types that stand beside weights and do nothing when they are made; of some, a plain type stands in."""
    harmless: list[Any] = [argparse.Namespace, codecs.encode, np.dtype, np.ndarray]
    harmless += {type(np.dtype(code)) for code in np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?"}
    made = {"scalar": np.array(0.0)[()].__reduce__()[0], "_reconstruct": np.array([0.0]).__reduce__()[0]}
    for room in ("numpy.core.multiarray", "numpy._core.multiarray"):
        harmless += [(function, f"{room}.{name}") for name, function in made.items()]
    for room in ("pathlib", "pathlib._local"):
        harmless += [(pathlib.PurePosixPath, f"{room}.{name}") for name in ("PosixPath", "Path", "PurePosixPath")]
        harmless += [(pathlib.PureWindowsPath, f"{room}.{name}") for name in ("WindowsPath", "PureWindowsPath")]
    for room in ("pytorch_lightning.utilities.parsing", "lightning.pytorch.utilities.parsing",
                 "lightning_fabric.utilities.data", "lightning.fabric.utilities.data"):  # fmt: skip
        harmless.append((dict, f"{room}.AttributeDict"))
    return harmless


def _read_torch(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(_harmless()), open(path, "rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL:? ([\w.]+)", str(error))
        if asked:
            raise ValueError(
                f"`{path.name}` must hold tensors only, got a pickle that asks for `{asked[1]}`;"
                " nothing in it was run. Save `model.state_dict()` instead of the model, or use safetensors."
            ) from error
        raise _unreadable(path, error) from error
    except Exception as error:  # random bytes make torch.load raise anything: KeyError, EOFError, RuntimeError
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ValueError:
    reason = next((line for line in str(error).splitlines() if line.strip()), "")
    way_out = "Copy or download it again, or save `model.state_dict()` anew."
    if "TorchScript" in str(error):
        way_out = "It is a program: save `torch.jit.load(path).state_dict()` and give that."
    if path.suffix == ".pt2":
        way_out = "It is a program: save `torch.export.load(path).state_dict` and give that."
    return ValueError(
        f"`{path.name}` must be a checkpoint written by torch.save, got {path.stat().st_size} bytes that"
        f" cannot be read ({type(error).__name__}: {reason[:100]}). {way_out}"
    )
