"""Starting, stopping and going on with a run from its choices, as a process of its own. No widget.

The explorer knows training by its command line alone: what is chosen here becomes arguments of
`python -m lrexplore.training`, and what the run does is read from its records.
"""

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from lrexplore.models.architectures import names, nearest
from lrexplore.models.catalogue import OWN
from lrexplore.recipes.arguments import command_line
from lrexplore.recipes.config import Config
from lrexplore.recipes.published import configure
from lrexplore.recipes.references import is_reference
from lrexplore.records import Run, start
from lrexplore.records.schema import read_description


def start_run(config: Config) -> Run:
    """A handle on a run with these choices, started in the folder `runs` as `name`: what `check_start` lets through."""
    return start(Path(config.runs, config.name), command_line(config))


def check_start(choices: Mapping[str, Any], live: Container[str] = ()) -> Config:
    """The configuration of a run that may start now with these choices; `live` names runs that have not ended.

    Raises ValueError for choices that make no sense, for a network that lrexplore does not know by name, and for a
    name that is taken.
    """
    if reason := why_not(str(choices["model"])):
        raise ValueError(reason)
    config = configure(**{"recipe": "short", **choices})
    runs, name = config.runs, config.name
    if name is not None and (name in live or Path(runs, name, "run.json").exists()):
        raise ValueError(f"`name` must be new in {runs}, got {name!r}, a run that is there. Choose another or resume.")
    return config


def resume_run(folder: Path) -> tuple[Run, dict[str, Any]]:
    """A handle on the process that goes on with a run, and its choices: those it was started with.

    Raises FileNotFoundError for a run that has never begun, ValueError for one whose data is a command.
    """
    if not (folder / "run.json").exists():
        raise FileNotFoundError(f"`{folder.name}` must have begun to go on, got a folder without run.json. Start anew.")
    recorded = {**read_description(folder)["config"], "runs": str(folder.parent), "name": folder.name, "resume": True}
    config = Config.of_record(recorded)
    if config.data.startswith("pipe:"):  # a file that lies about must not choose what a shell runs
        raise ValueError(
            f"`data` must be no command to go on from here, got {config.data!r}. Type it: lrexplore train"
            f" {config.model} --data ... --name {folder.name} --resume"
        )
    return start(folder, command_line(config)), recorded


def why_not(model: str) -> str:
    """Why a run of this network cannot be started; nothing where it can."""
    if model in OWN or model in names() or is_reference(model):
        return ""
    near = nearest(model, [*OWN, *names()])
    advice = f"Nearest: {', '.join(near)}." if near else "Type a name such as resnet20 or resnet50."
    return (
        f"`model` must be a network that lrexplore knows by name, for a new process has to build it, got {model!r}."
        f" {advice} For your own nn.Module name the function that builds it: package.module:function."
    )
