"""The network that a run trained, from its folder."""

from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import nn

from lrexplore.records.layout import read_json
from lrexplore.train.checkpoint import NAME, load_checkpoint
from lrexplore.train.config import Config
from lrexplore.train.model import build_model
from lrexplore.train.plan import recorded_plan


def trained_network(folder: str | Path) -> nn.Module:
    """The network of a run as its last checkpoint has it, on the CPU and in evaluation mode.

    Of a run with `ema` the averaged weights, which its evaluations used. `factorization` says what was replaced.
    Raises FileNotFoundError for a folder that holds no run, or a run without weights (such as a thinned record).
    """
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise FileNotFoundError(
            f"`path` must be the folder of a run, got {folder} without a run.json. `lr.runs` lists those of a folder."
        )
    checkpoint = load_checkpoint(folder, torch.device("cpu"))
    if checkpoint is None:
        raise FileNotFoundError(
            f"`path` must be a run with its weights, got {folder} without a {NAME}: its first is not written yet, or"
            " only its records were kept. Train it again, or wait."
        )
    described = read_json(folder / "run.json")
    known = {field.name for field in fields(Config)}
    choices = {name: value for name, value in described["config"].items() if name in known}
    config = Config(**choices | {"milestones": tuple(choices["milestones"])})
    state = checkpoint["model"]
    if "average" in checkpoint:
        averaged = checkpoint["average"]
        state = {name.removeprefix("module."): value for name, value in averaged.items() if name != "n_averaged"}
    num_classes = described.get("num_classes") or len(list(state.values())[-1])  # else of the last layer's bias
    with torch.random.fork_rng(devices=[]):
        # The weights are to be replaced: they are drawn the quickest way.
        model = build_model(replace(config, initializer="independent"), num_classes, recorded_plan(described))
    model.load_state_dict(state)
    return model.eval()
