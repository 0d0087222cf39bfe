"""What a run learns: to name images, to translate, or to guess masked words. One object each, with the same parts."""

from typing import Any

from lrexplore.recipes.config import Config
from lrexplore.training.tasks.image_task import ImageTask
from lrexplore.training.tasks.text_task import MaskedTask, TextTask
from lrexplore.training.tasks.translation_task import TranslationTask

Task = ImageTask | TextTask


def task_of(config: Config) -> Task:
    """The task that the run's network is for."""
    return {"translation": TranslationTask, "masked-lm": MaskedTask}.get(config.model, ImageTask)()


def data_of(config: Config) -> Any:
    """The data of a run."""
    return task_of(config).data(config)
