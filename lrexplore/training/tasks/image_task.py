"""Naming images: what the parts of a task are, and what every network but those for text does."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from lrexplore.datasets import Batch
from lrexplore.recipes.config import Config
from lrexplore.training.built import data_of
from lrexplore.training.loading import StepPlan, evaluation_batches, training_batches
from lrexplore.training.processes import Processes


class ImageTask:
    """Batches of images, one label for each.

    A batch of any task has `labels` (n,) and `corrupt`; the network gives (n, num_classes) logits for `inputs`.
    """

    unit = "image"

    def data(self, config: Config) -> Any:
        """The run's data: `train`, `held_out`, `test`, `num_classes`."""
        return data_of(config)

    def keep(self, folder: Path, data: Any) -> None:
        """Writes into a run's folder what its data cannot be read without."""

    def plan(self, config: Config, data: Any, num_processes: int) -> StepPlan:
        """How the run is cut into steps."""
        return StepPlan.of(config, len(data.train), num_processes)

    def training_batches(
        self, config: Config, data: Any, plan: StepPlan, processes: Processes, start: int
    ) -> Iterator[list]:
        """The micro-batches of this process for every step from `start` on."""
        return training_batches(config, data, plan, processes, start)

    def evaluation_batches(self, part: Any, config: Config, plan: StepPlan, processes: Processes) -> Iterator:
        """This process's share of all of a part of the data."""
        size = max(plan.micro_batch_size, 64)  # without gradients it takes far less memory
        return evaluation_batches(part, config, size, processes)

    def inputs(self, batch: Batch, learner: Any) -> tuple[Tensor, ...]:
        """What the network gets for a batch, on the learner's device."""
        return (learner.images(batch.images),)

    def num_labels(self, config: Config, batches: list) -> int:
        """Labels of a whole step, of which these are micro-batches: its loss is their mean."""
        return config.batch_size

    def judge(self, learner: Any, part: Any, config: Config, stop: Callable[[], bool]) -> dict[str, float] | None:
        """What is measured of a part of the data besides loss and hits; None where it was stopped."""
        return {}
