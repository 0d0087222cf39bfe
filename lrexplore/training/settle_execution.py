"""How a run's factorized layers compute: as it was asked, as it was measured, or as the run began."""

from pathlib import Path

from lrexplore.datasets import Data
from lrexplore.network import choose_execution
from lrexplore.nn import factorized_layers, set_execution
from lrexplore.recipes.config import Config
from lrexplore.records.schema import read_description
from lrexplore.training.learner import Learner
from lrexplore.training.loading import StepPlan, evaluation_batches


def settle_execution(config: Config, folder: Path, learner: Learner, data: Data, plan: StepPlan) -> dict[str, str]:
    """Sets it in the learner's network, alike on all processes; layer name -> "factors" or "product".

    "fastest" is measured by the first process on one micro-batch. A resumed run computes as it began, whatever
    would be faster now, so that it goes on with the same numbers.
    """
    layers = factorized_layers(learner.model)
    chosen = dict.fromkeys(layers, config.execution)
    if config.execution == "fastest":
        if config.resume and (folder / "run.json").exists():
            chosen = read_description(folder)["execution"]
        else:
            chosen = learner.processes.first(_measured(learner, data, plan, config))
    set_execution(learner.model, chosen)
    return chosen


def _measured(learner: Learner, data: Data, plan: StepPlan, config: Config) -> dict[str, str]:
    if not learner.processes.is_first:
        return {}
    batches = evaluation_batches(data.held_out, config, 1, learner.processes)
    image = next(batch.images for batch in batches if len(batch.images))  # one that can be read
    images = image.expand(plan.micro_batch_size, -1, -1, -1)
    chosen = dict.fromkeys(factorized_layers(learner.model), "factors")
    with learner.autocast():
        table = choose_execution(learner.model, learner.images(images))
    return chosen | dict(zip(table["name"], table["execution"], strict=True))
