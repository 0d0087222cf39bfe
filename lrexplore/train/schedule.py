"""The learning rate as a function of the step alone: nothing to save, nothing to resume."""

import math

from lrexplore.train.config import Config


def learning_rate(config: Config, step: int, num_steps: int, steps_per_epoch: int) -> float:
    """The rate of step number `step`, from 0.

    Linear warm-up reaches `lr` with its last step; the cosine then ends just above 0 with the last step.
    """
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup_steps:
        return config.lr * ((step + 1) / warmup_steps if config.warmup == "linear" else 0.1)
    if config.schedule == "step":
        passed = sum(step >= round(milestone * num_steps) for milestone in config.milestones)
        return config.lr * config.step_factor**passed
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))
