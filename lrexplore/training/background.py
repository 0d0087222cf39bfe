"""A run in the background, for a notebook: it goes on when the kernel dies."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from lrexplore.datasets import Data
from lrexplore.recipes.arguments import command_line
from lrexplore.recipes.names import default_name, new_name
from lrexplore.recipes.published import configure
from lrexplore.records import Run, start
from lrexplore.training.built import check_choices, import_environment


def train(
    model: str | Callable[..., nn.Module],
    *,
    data: str | Callable[[], Data | tuple] | None = None,
    recipe: str = "short",
    **choices,
) -> Run:
    """A handle on a run that starts now, in a process of its own: `status`, `wait()`, `stop()`, `records`.

    The choices are those of `lrexplore train` and of `lrexplore.recipes.Config`: rank_scale, initializer,
    decay, decay_strength, epochs, seed, runs, name, resume and so on. They are checked before anything starts.
    Without `data` a network for images gets "fashion-mnist", "translation" and "masked-lm" texts that are here (see
    `lrexplore.recipes.published`). Without a `name` the run gets a new one. Raises ValueError for choices that make no
    sense.

    `model` and `data` are names, or functions of your own, given as such or as "package.module:function". The run's
    process imports them: they stand in a file, not in a notebook's cell. `model(num_classes)`, or `model()`, returns an
    nn.Module with one output a class; it is drawn anew from `seed`. `data()` returns the images that train, those held
    out to choose by and those to test: three torch Datasets of (image, label) pairs (see
    `lrexplore.datasets.labelled`), or a `lrexplore.datasets.Data`. `num_images` limits those that train; `held_out`
    concerns named data only.

    >>> import lrexplore as lr
    >>> run = lr.train("resnet20", rank_scale=0.1, steps=2, num_images=64, batch_size=32, runs="runs", name="first")
    >>> run.wait()  # or close the notebook: the run goes on
    'done'
    """
    config = configure(recipe, model=model, data=data, **choices)
    check_choices(config)
    if config.name is None:
        config = config.with_name(new_name(config.runs, default_name(config)))
    folder = Path(config.runs, config.name)
    if (folder / "run.json").exists() and not config.resume:
        raise ValueError(
            f"`name` must be new in {config.runs}, got {config.name!r}, a run that is there."
            " Pass `resume=True` to go on with it, or choose another name."
        )
    return start(folder, command_line(config), import_environment(config))
