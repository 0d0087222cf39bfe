"""Starting, stopping and going on with a run from its choices, as a process of its own. No widget.

The explorer knows training by its command line alone: what is chosen here becomes arguments of
`python -m lrexplore.training`, and what the run does is read from its records.
"""

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from lrexplore.models.architectures import names, nearest
from lrexplore.models.catalogue import OWN
from lrexplore.records import Run, start

INITIALIZERS = ("function", "spectral", "rescaled", "independent", "sampled", "spectral-matched")
DECAYS = ("frobenius", "weight", "none")
DATA = ("fashion-mnist", "fashion-mnist-full", "synthetic")


def command_line(config: Mapping[str, Any]) -> list[str]:
    """Arguments of `lrexplore.training` that mean these choices; what is None or missing is left to its defaults."""
    arguments = [str(config["model"])]
    for name, value in config.items():
        option = f"--{name.replace('_', '-')}"
        if name == "model" or value is None:
            continue
        if isinstance(value, bool):
            arguments.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, list | tuple):
            arguments += [option, *map(str, value)]
        else:
            arguments += [option, str(value)]
    return arguments


def start_run(config: Mapping[str, Any]) -> Run:
    """A handle on a run with these choices, started in the folder `runs` as `name`: what `check_start` lets through."""
    folder = Path(config["runs"], config["name"])
    return start(folder, command_line(config))


def check_start(config: Mapping[str, Any], live: Container[str] = ()) -> None:
    """Nothing, if a run with these choices may start now; `live` names runs that have not ended.

    Raises ValueError for a network that lrexplore does not know by name, or a name that is taken.
    """
    if reason := why_not(str(config["model"])):
        raise ValueError(reason)
    runs, name = config["runs"], config["name"]
    if "/" in name or name.startswith("."):
        raise ValueError(f"`name` must be the name of a folder, got {name!r}. Choose the place by the folder of runs.")
    if name in live or Path(runs, name, "run.json").exists():
        raise ValueError(f"`name` must be new in {runs}, got {name!r}, a run that is there. Choose another or resume.")


def resume_run(folder: Path) -> tuple[Run, dict[str, Any]]:
    """A handle on the process that goes on with a run, and its choices: those it was started with.

    Raises FileNotFoundError for a run that has never begun.
    """
    described = folder / "run.json"
    if not described.exists():
        raise FileNotFoundError(f"`{folder.name}` must have begun to go on, got a folder without run.json. Start anew.")
    config = json.loads(described.read_bytes())["config"]
    config = {**config, "runs": str(folder.parent), "name": folder.name, "resume": True}
    return start(folder, command_line(config)), config


def why_not(model: str) -> str:
    """Why a run of this network cannot be started; nothing where it can."""
    if model in OWN or model in names():
        return ""
    near = nearest(model, [*OWN, *names()])
    advice = f"Nearest: {', '.join(near)}." if near else "Type a name such as resnet20 or resnet50."
    return (
        f"`model` must be a network that lrexplore knows by name, for a new process has to build it, got {model!r}."
        f" {advice} Train your own nn.Module in a cell."
    )


def new_name(runs: Path, config: Mapping[str, Any]) -> str:
    """A name made of the choices that runs are compared by, with a number where it is taken."""
    ranks = next((f"{config[key]:g}" for key in ("rank_scale", "rank_ratio") if config.get(key) is not None), None)
    ranks = "plan" if config.get("plan") else ranks
    factors = [config.get("initializer", "function"), ranks] if ranks else ["unfactorized"]
    decay, seed = config.get("decay", "frobenius"), config.get("seed", 0)
    name = "-".join([str(config["model"]), *factors, str(decay), f"seed{seed}"])
    if not (runs / name).exists():
        return name
    return next(f"{name}-{k}" for k in range(2, 10**6) if not (runs / f"{name}-{k}").exists())
