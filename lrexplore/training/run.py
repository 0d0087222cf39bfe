"""A run: its name, its data, and the training from its checkpoint to its end."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from lrexplore.recipes.config import Config
from lrexplore.recipes.names import default_name, new_name
from lrexplore.records.schema import read_description, read_status
from lrexplore.training.built import check_choices
from lrexplore.training.processes import Processes, join
from lrexplore.training.stop import Stop
from lrexplore.training.tasks import data_of
from lrexplore.training.training import Training


def run(config: Config, *, should_stop: Callable[[], bool] = lambda: False) -> str:
    """Trains until the end ("done") or until `should_stop` says so ("stopped"; a checkpoint is written first).

    Raises what went wrong, after it was put into the run's status. Records and checkpoint are kept then.
    A resumed run computes with as many threads as it began with, so that a CPU gives the same bits.
    """
    stop = should_stop if isinstance(should_stop, Stop) else Stop(should_stop)
    with join(config.device) as processes:
        check_choices(config)
        named, config = config.name is not None, _named(config, processes)
        folder = Path(config.runs, config.name)
        begun = config.resume and (folder / "run.json").exists()
        try:
            if begun:
                described = read_description(folder)
                config = config.as_resumed(described["config"])
                if _is_done(folder):
                    if processes.is_first:
                        print(f"{config.name}: done before. Choose another name to train it again.")
                    return "done"
                if processes.device.type == "cpu":  # sums over another number of threads end in other last bits
                    torch.set_num_threads(described["environment"]["num_threads"])
            with stop.waiting():
                data = data_of(config)
            with Training(config, folder, data, processes, stop, begun=begun) as training:
                return training.until_the_end()
        finally:
            if not named and processes.is_first:
                with suppress(OSError):  # it holds the run
                    folder.rmdir()


def _named(config: Config, processes: Processes) -> Config:
    """The configuration with the name of its folder: given, or made from its choices and new."""
    if config.name is None:
        name = default_name(config)
        there = config.resume and Path(config.runs, name, "run.json").exists()
        return config.with_name(
            processes.first(name if there or not processes.is_first else new_name(config.runs, name))
        )
    if Path(config.runs, config.name, "run.json").exists() and not config.resume:
        raise ValueError(
            f"`name` must be new in {config.runs}, got {config.name!r}, a run that is there. Add `--resume` to go on"
            " with it, or choose another name."
        )
    return config


def _is_done(folder: Path) -> bool:
    try:
        return read_status(folder)["state"] == "done"
    except FileNotFoundError:
        return False
