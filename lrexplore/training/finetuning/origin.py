"""What a run starts from: a network with its weights, as a file, a run or published weights have it."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lrexplore.disk.paths import input_path
from lrexplore.disk.tensor_file import read_tensors
from lrexplore.models import load_model, read_state_dict
from lrexplore.models.state_dicts import check_values
from lrexplore.network.files import FORMAT, described_layers, read
from lrexplore.nn import FactorizedConv2d, FactorizedLinear
from lrexplore.ranks import RankPlan
from lrexplore.recipes.config import Config
from lrexplore.recipes.references import is_reference
from lrexplore.training.built import network_of

PUBLISHED = "imagenet"


@dataclass(frozen=True)
class Origin:
    """A network to start from, in training mode, with as many classes as the data. `said`: what a person must know."""

    model: nn.Module
    plan: RankPlan | None = None
    said: tuple[str, ...] = field(default=())
    sha256: str | None = None

    def as_record(self, model: nn.Module) -> dict[str, Any]:
        """What run.json says of the start of a run that trains `model`: enough to build it without the start."""
        return {"start": {"layers": described_layers(model), "said": list(self.said), "sha256": self.sha256}}


def origin_of(config: Config, start: str, num_classes: int, *, choice: str = "start") -> Origin:
    """The network that a choice such as `config.start` names, of the architecture `config.model`.

    Raises ValueError or FileNotFoundError, naming the `choice`, where there is none or another one.
    """
    torch.manual_seed(config.seed)
    fresh = network_of(config, num_classes)
    model, plan = _read(config, start, fresh, choice)
    said = _fit_classes(model, fresh)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()  # a file's lie anywhere in memory, and kernels give other last bits there
    return Origin(model.train(), plan, tuple(filter(None, [said])), checksum(start))


def checksum(start: str) -> str | None:
    """SHA-256 of the file that a start is read from; None for published weights and for a folder of several files."""
    path = Path(start)
    path = path / "checkpoint.pt" if path.is_dir() else path
    return hashlib.sha256(path.read_bytes()).hexdigest() if start != PUBLISHED and path.is_file() else None


def check_unchanged(start: str, recorded: str | None, choice: str) -> None:
    """Raises ValueError where the file of a start is another one than when the run began."""
    if checksum(start) != recorded:
        raise ValueError(
            f"`{choice}` must be the file that it was when the run began, got another in {start}. Put it back, or train"
            " under another name."
        )


def head_of(model: nn.Module) -> str:
    """The name of the layer that has one output a class: the last linear one, else the last convolution."""
    for kinds in ((nn.Linear, FactorizedLinear), (nn.Conv2d, FactorizedConv2d)):
        names = [name for name, module in model.named_modules() if isinstance(module, kinds)]
        if names:
            return names[-1]
    return ""


def _read(config: Config, start: str, fresh: nn.Module, choice: str) -> tuple[nn.Module, RankPlan | None]:
    if start == PUBLISHED:
        if is_reference(config.model):
            raise ValueError(
                f"`{choice}` must be a file for a network of your own, got {start!r} for {config.model}. Give the path"
                " of its weights."
            )
        return load_model(config.model, "DEFAULT"), None
    path = input_path(start, choice) if not Path(start).is_dir() else Path(start)
    if (path / "run.json").is_file():
        from lrexplore.training.model import trained_network  # which may itself have started from something

        return _of_model(config, trained_network(path), fresh, path, choice), None
    if path.suffix == ".safetensors":
        try:
            tensors, _ = read_tensors(path, FORMAT, "lr.save", "")
        except ValueError:
            pass  # others write such files too: weights alone, then
        else:
            model, plan = read(path, _with_classes(config, tensors, fresh))
            return model, RankPlan.from_json(plan) if plan else None
    if not is_reference(config.model):
        return load_model(config.model, str(path.absolute())), None
    state = read_state_dict(path)
    model = _with_classes(config, state, fresh)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise _other_network(config, str(error).strip().splitlines()[-1].strip(), choice) from None
    check_values(state.items(), f"`{path.name}`")
    return model, None


def _with_classes(config: Config, tensors: dict, fresh: nn.Module) -> nn.Module:
    """The unfactorized network with as many classes as the tensors are for."""
    head = head_of(fresh)
    prefix = f"{head}." if head else ""
    rows = [len(tensors[prefix + part]) for part in ("bias", "weight", "left") if prefix + part in tensors]
    return network_of(config, rows[0]) if rows else fresh


def _of_model(config: Config, model: nn.Module, fresh: nn.Module, path: Path, choice: str) -> nn.Module:
    factorized = {*described_layers(model), head_of(fresh)}
    under = tuple(f"{name}." for name in factorized)
    theirs, mine = (
        {name: tuple(value.shape) for name, value in net.state_dict().items() if not name.startswith(under)}
        for net in (model, fresh)
    )
    for name in dict.fromkeys([*mine, *theirs]):
        if mine.get(name) != theirs.get(name):
            raise _other_network(config, f"`{name}` is {theirs.get(name)} in {path.name}, not {mine.get(name)}", choice)
    return model


def _other_network(config: Config, reason: str, choice: str) -> ValueError:
    return ValueError(
        f"`{choice}` must hold a network {config.model}, got another: {reason}. Train the model that it holds."
    )


def _fit_classes(model: nn.Module, fresh: nn.Module) -> str:
    """Puts the fresh network's classifier into one with other classes; what was done, in words."""
    head = head_of(fresh)
    mine = fresh.get_submodule(head)
    try:
        theirs = model.get_submodule(head)
    except AttributeError:
        theirs = nn.Identity()
    if not head or num_outputs(theirs) == num_outputs(mine):
        return ""
    parent, _, last = head.rpartition(".")
    setattr(model.get_submodule(parent), last, mine)
    return f"a new classifier `{head}` for {num_outputs(mine)} classes in the place of {num_outputs(theirs)}"


def num_outputs(module: nn.Module) -> int:
    """The outputs of a linear layer or convolution; 0 of anything else, such as what stands for a missing head."""
    return getattr(module, "out_features", getattr(module, "out_channels", 0))
