"""A network from a name, a checkpoint or an nn.Module."""

from pathlib import Path

import torch
from torch import nn
from torchvision.models import WeightsEnum

from lrexplore.models.architectures import build, names, nearest
from lrexplore.models.checkpoint import load_checkpoint
from lrexplore.models.own import OWN
from lrexplore.models.pretrained import available_weights, load_pretrained
from lrexplore.models.state_dicts import check_values
from lrexplore.models.weights_files import SUFFIXES


def _looks_like_path(text: str) -> bool:
    try:
        return Path(text).suffix in SUFFIXES or "/" in text or "\\" in text or Path(text).expanduser().exists()
    except (OSError, RuntimeError):  # longer than a name can be, or of a home that is not known
        return False


def load_model(
    name_or_path: str | Path | nn.Module, weights: str | Path | WeightsEnum | None = None, *, seed: int = 0
) -> nn.Module:
    """A model with finite weights, on the CPU and in eval mode; an nn.Module comes back itself, unchanged.

    `name_or_path` is one of `lrexplore.models.names()`, one of lrexplore's own networks that `lr.train` trains
    (`resnet20`, ...; 10 classes unless a checkpoint has others) or the path of a checkpoint (torch or safetensors),
    whose architecture is then recognized by its tensors. `weights` of a name: None for random initialization (drawn
    from `seed`; torch's global generator is left alone), `"DEFAULT"` or one of `available_weights(name)` for published
    ones, or the path of a checkpoint of that architecture with any number of classes.

    Raises ValueError for an unknown name (with the nearest ones) and for broken, foreign or non-finite
    weights, FileNotFoundError, IsADirectoryError, ConnectionError where a download fails, ModuleNotFoundError where an
    extra is missing.

    >>> model = lr.load_model("resnet20")
    >>> model(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """
    if isinstance(name_or_path, nn.Module):
        if weights is not None:
            raise ValueError(
                f"`weights` must be None for an nn.Module, got {str(weights)!r}. Load them into the module first."
            )
        check_values(
            (*name_or_path.named_parameters(), *name_or_path.named_buffers()),
            f"the {type(name_or_path).__name__}",
        )
        return name_or_path
    if not isinstance(name_or_path, str | Path):
        raise TypeError(
            "`name_or_path` must be a name, a path or an nn.Module,"
            f" got a {type(name_or_path).__name__}. Try 'resnet50'."
        )
    name = str(name_or_path).lower()
    if name in names():
        return _drawn(name, seed) if weights is None else _named(name, weights)
    if name in OWN:
        return _drawn(name, seed) if weights is None else _own(name, weights)
    if isinstance(name_or_path, Path) or _looks_like_path(name_or_path):
        if weights is not None:
            raise ValueError(
                f"`weights` must be None for a checkpoint, got {str(weights)!r}."
                " Give the architecture's name first and the path as `weights`."
            )
        return load_checkpoint(name_or_path)
    close = nearest(name, names()) or nearest(name, list(OWN))
    advice = f"Nearest: {', '.join(close)}." if close else "See lrexplore.models.names()."
    raise ValueError(
        "`name_or_path` must be a torchvision classification model, 'efficientnet_lite0' or the path of a"
        f" checkpoint, got {name_or_path!r}. {advice}"
    )


def _drawn(name: str, seed: int) -> nn.Module:
    """A random network, the same for a seed whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return OWN[name]().eval() if name in OWN else build(name)


def _own(name: str, weights: str | Path) -> nn.Module:
    if not _looks_like_path(str(weights)):
        raise ValueError(
            f"`weights` of {name} must be None or the path of a checkpoint (there are no published ones), got"
            f" {str(weights)!r}. Train it with `lr.train({name!r})`."
        )
    return load_checkpoint(weights, name)


def _named(name: str, weights: str | Path | WeightsEnum) -> nn.Module:
    unpublished = isinstance(weights, str) and weights not in available_weights(name)
    if isinstance(weights, Path) or (unpublished and _looks_like_path(weights)):
        return load_checkpoint(weights, name)
    return load_pretrained(name, weights)
