"""A run in the background, for a notebook: it goes on when the kernel dies."""

from pathlib import Path

from lrexplore.models.catalogue import check_network
from lrexplore.recipes.arguments import command_line
from lrexplore.recipes.published import configure
from lrexplore.records import Run, start
from lrexplore.training.run import default_name


def train(model: str, *, recipe: str = "short", **choices) -> Run:
    """A handle on a run that starts now, in a process of its own: `status`, `wait()`, `stop()`, `records`.

    The choices are those of `lrexplore train` and of `lrexplore.recipes.Config`: data, rank_scale, initializer,
    decay, decay_strength, epochs, seed, runs, name, resume and so on. They are checked before anything starts.
    Without a `name` the run gets a new one. Raises ValueError for choices that make no sense.
    """
    config = configure(recipe, model=model, **choices)
    check_network(config.model)
    if config.name is None:
        config = config.with_name(_new_name(Path(config.runs), default_name(config)))
    folder = Path(config.runs, config.name)
    if (folder / "run.json").exists() and not config.resume:
        raise ValueError(
            f"`name` must be new in {config.runs}, got {config.name!r}, a run that is there."
            " Pass `resume=True` to go on with it, or choose another name."
        )
    return start(folder, command_line(config))


def _new_name(runs: Path, name: str) -> str:
    if not (runs / name).exists():
        return name
    return next(f"{name}-{n}" for n in range(2, 10**6) if not (runs / f"{name}-{n}").exists())
