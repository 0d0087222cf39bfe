"""A run: its name, its data, and the training from its checkpoint to its end."""

import os
from collections.abc import Callable
from pathlib import Path

import torch

from lrexplore.datasets import open_data
from lrexplore.recipes.config import Config
from lrexplore.records.layout import read_json
from lrexplore.training.processes import Processes, join
from lrexplore.training.training import Training


def run(config: Config, *, should_stop: Callable[[], bool] = lambda: False) -> str:
    """Trains until the end ("done") or until `should_stop` says so ("stopped"; a checkpoint is written first).

    Raises what went wrong, after it was put into the run's status. Records and checkpoint are kept then.
    A resumed run computes with as many threads as it began with, so that a CPU gives the same bits.
    """
    with join(config.device) as processes:
        config = _named(config, processes)
        folder = Path(config.runs, config.name)
        if config.resume and (folder / "run.json").exists():
            described = read_json(folder / "run.json")
            config = config.as_resumed(described["config"])
            if _is_done(folder):
                if processes.is_first:
                    print(f"{config.name}: done before. Choose another name to train it again.")
                return "done"
            if processes.device.type == "cpu":  # sums over another number of threads end in other last bits
                torch.set_num_threads(described["environment"]["num_threads"])
        data = open_data(
            config.data, held_out=config.held_out, image_size=config.image_size, num_images=config.num_images
        )
        with Training(config, folder, data, processes, should_stop) as training:
            return training.until_the_end()


def _named(config: Config, processes: Processes) -> Config:
    """The configuration with the name of its folder: given, or made from its choices and new."""
    name = config.name or default_name(config)
    taken = Path(config.runs, name, "run.json").exists()
    if taken and not config.resume:
        if config.name is not None:
            raise ValueError(
                f"`name` must be new in {config.runs}, got {name!r}, a run that is there. Add `--resume` to go on"
                " with it, or choose another name."
            )
        number = next(n for n in range(2, 10**6) if not Path(config.runs, f"{name}-{n}").exists())
        name = f"{name}-{number}"
    return config.with_name(processes.first(name))


def default_name(config: Config) -> str:
    """A name from the choices that runs are compared by, such as resnet20-function-0.1-frobenius-seed0."""
    ranks = next((str(v) for v in (config.rank_scale, config.rank_ratio) if v is not None), "plan")
    model = Path(config.model).stem if os.sep in config.model else config.model
    parts = [model, config.initializer, ranks] if config.factorized else [model, "unfactorized"]
    return "-".join([*parts, config.decay, f"seed{config.seed}"])


def _is_done(folder: Path) -> bool:
    try:
        return read_json(folder / "status.json")["state"] == "done"
    except FileNotFoundError:
        return False
