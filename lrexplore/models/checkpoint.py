"""A file of weights: read without running code, matched to an architecture, loaded into it."""

import argparse
import difflib
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lrexplore import linalg
from lrexplore.models.architectures import build, by_popularity, signature
from lrexplore.models.fingerprints import candidates, is_listed, renamed

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".tar", ".safetensors")
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "model.")


def check_values(tensors: Iterable[tuple[str, Tensor]], owner: str) -> None:
    """Raises ValueError for the first tensor without values (meta, lazy) or with NaN or infinity in it."""
    for key, tensor in tensors:
        if is_lazy(tensor):
            raise ValueError(
                f"`{key}` of {owner} must hold values, got an uninitialized tensor. Run one forward pass first."
            )
        linalg.check_values(
            tensor, key, "Load weights first.", "Use a checkpoint from before training diverged.", owner=owner
        )


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


def _read_torch(path: Path) -> object:
    try:
        # A plain record of options, which torchvision's and timm's training scripts put beside the weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
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
    return ValueError(
        f"`{path.name}` must be a checkpoint written by torch.save, got {path.stat().st_size} bytes that"
        f" cannot be read ({type(error).__name__}: {reason[:100]})."
        " Copy or download it again, or save `model.state_dict()` anew."
    )


def _is_state_dict(content: object) -> TypeGuard[Mapping[str, Tensor]]:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    )


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The tensors in a checkpoint by their names, on the CPU, all finite.

    Torch files are read with `weights_only=True`: a pickle with code in it is refused and never run. The
    wrappers that training scripts use (`state_dict`, `model_state_dict`, `model`) are opened, and prefixes of
    wrapped models (`module.` of DDP, `_orig_mod.` of torch.compile, `model.` of Lightning) are cut. Raises
    FileNotFoundError, IsADirectoryError, or ValueError for a file that is no state dict.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"`{path}` must be a checkpoint file, got a folder. {_way_out_of(path)}")
    if not path.is_file():
        raise FileNotFoundError(f"`{path}` must be a checkpoint file, got no such {_missing(path)}")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not _is_state_dict(content):
        raise ValueError(
            f"`{path.name}` must hold a state dict (tensors by name), got a {type(content).__name__}."
            " Save `model.state_dict()` with torch.save or safetensors."
        )
    state = dict(content)
    while prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    check_values(state.items(), f"`{path.name}`")
    return state


def _way_out_of(folder: Path) -> str:
    if (folder / "run.json").is_file():
        return "It is that of a run: give `lr.load(folder)`."
    files = sorted(file.name for file in folder.iterdir() if file.suffix in SUFFIXES)
    return f"Name a file in it: {', '.join(files[:3])}." if files else "No checkpoint is in it: name another."


def _missing(path: Path) -> str:
    """The first part of a path that is not there, and what is there of a similar name."""
    place = next(place for place in reversed([path, *path.parents]) if not place.exists())
    there = [other.name for other in place.parent.iterdir()] if place.parent.is_dir() else []
    near = difflib.get_close_matches(place.name, there, 3)
    kind = "file" if place == path else f"folder as {place}"
    return f"{kind}. " + (f"Near: {', '.join(near)}." if near else "Check the path.")


@dataclass(frozen=True)
class Match:
    """How a state dict compares with an architecture: `differences` is empty where they agree."""

    name: str
    differences: tuple[str, ...]
    num_matching: int
    num_classes: int | None


def _named_for(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: state[old] for key, old in renamed(name, state).items()}


def compare(state: Mapping[str, Tensor], name: str) -> Match:
    """The comparison of a state dict with the architecture `name`, whatever the number of classes."""
    expected = signature(name)
    shapes = {
        key: tuple(tensor.shape)
        for key, tensor in _named_for(name, state).items()
        if not key.endswith("num_batches_tracked")
    }
    classes = {
        size
        for key, shape in expected.items()
        for axis, size in zip(shape, shapes.get(key, ()), strict=False)
        if axis is None
    }
    num_classes = classes.pop() if len(classes) == 1 else None
    differences = []
    for key, shape in expected.items():
        wanted = tuple(num_classes if axis is None else axis for axis in shape)
        if key not in shapes:
            differences.append(f"`{key}` is missing")
        elif shapes[key] != wanted:
            differences.append(f"`{key}` is {shapes[key]}, not {tuple('classes' if a is None else a for a in shape)}")
    num_matching = len(expected) - len(differences)
    differences += [f"`{key}` is not part of it" for key in shapes if key not in expected]
    return Match(name, tuple(differences), num_matching, num_classes)


def recognize_exactly(state: Mapping[str, Tensor]) -> Match | None:
    """The architecture with the names and shapes of `state`; None where there is none, which is known at once."""
    maybe = candidates(state)
    for name in by_popularity():
        if name in maybe or not is_listed(name):
            match = compare(state, name)
            if not match.differences:
                return match
    return None


def recognize(state: Mapping[str, Tensor]) -> Match:
    """The architecture with the names and shapes of `state`, else the nearest one with its differences."""
    if match := recognize_exactly(state):
        return match
    matches = [compare(state, name) for name in by_popularity()]
    return max(matches, key=lambda match: (match.num_matching, -len(match.differences)))


def load_checkpoint(path: str | Path, name: str | None = None) -> nn.Module:
    """The model in a checkpoint, in eval mode; its number of classes is read from the head's shape.

    Without `name` the architecture is recognized by the names and shapes of all tensors. Raises ValueError
    where they are those of no known architecture (the nearest is named), or not those of `name`.
    """
    state = read_state_dict(path)
    for key, tensor in state.items():
        if tensor.is_complex() or tensor.is_quantized:
            raise ValueError(
                f"`{key}` of `{Path(path).name}` must be real and not quantized, got {tensor.dtype}, which no known "
                "architecture has. Load it into your own nn.Module."
            )
    match = recognize(state) if name is None else compare(state, name)
    if match.differences:
        raise ValueError(_mismatch(Path(path).name, state, match, asked=name))
    assert match.num_classes is not None  # as all shapes agree
    model = build(match.name, num_classes=match.num_classes)
    complete = model.state_dict()  # keeps the batch counters and the format versions, which a file may lack
    complete.update(_named_for(match.name, state))
    model.load_state_dict(complete)
    check_values(model.state_dict().items(), f"`{Path(path).name}` in the model's own dtype")  # float64 may not fit
    return model.eval()


def _mismatch(file: str, state: Mapping[str, Tensor], match: Match, asked: str | None) -> str:
    shown = "; ".join(match.differences[:3]) + ("; ..." if len(match.differences) > 3 else "")
    agreement = f"{match.num_matching} of {len(signature(match.name))} match ({shown})"
    own = "For a model of your own, load the weights into your nn.Module and pass that."
    if any(key.endswith(".left") and f"{key.removesuffix('left')}right" in state for key in state):
        own = (
            "Its layers are factorized: give the tensors to `load_state_dict` of what `lr.factorize` made of the"
            " network with the same ranks; `lr.save` of that keeps a file that `lr.load` opens."
        )
    if asked is None:
        return (
            f"`{file}` must hold the tensors of a known architecture, got {len(state)} tensors of none;"
            f" the nearest is `{match.name}`, where {agreement}. {own}"
        )
    other = recognize(state)
    way_out = own if other.differences else f"They are those of `{other.name}`: give that name."
    return f"`{file}` must hold the tensors of `{asked}`, got {len(state)} of which {agreement}. {way_out}"
