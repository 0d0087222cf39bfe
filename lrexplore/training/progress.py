"""What a person sees while a run goes on: a bar with images/s and time left, and a line an epoch."""

import sys

from tqdm import tqdm

from lrexplore.recipes.config import Config
from lrexplore.training.loading import StepPlan


class Progress:
    """A bar on a terminal; without a terminal the lines of the epochs only. A context manager."""

    def __init__(self, config: Config, plan: StepPlan, step: int, *, shown: bool, unit: str = "image"):
        self._batch_size, self._shown = config.batch_size, shown
        self._bar = tqdm(
            total=plan.num_steps * config.batch_size, initial=step * config.batch_size, unit=unit,
            unit_scale=True, desc=config.name, disable=not (shown and sys.stderr.isatty()), mininterval=0.5,
        )  # fmt: skip

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()

    def advance(self, metrics: dict) -> None:
        """One step further."""
        if not self._bar.disable:
            self._bar.set_postfix_str(f"loss {metrics['loss']:.3f}, top-1 {metrics['top1']:.1f} %", refresh=False)
            self._bar.update(self._batch_size)

    def say(self, row: dict) -> None:
        """The line of an epoch."""
        if self._shown:
            bleu = f", BLEU {row['held_out_bleu']:.1f}" if "held_out_bleu" in row else ""
            self._bar.write(
                f"epoch {row['epoch']}, step {row['step']}: training loss {row['train_loss']:.4f},"
                f" held-out loss {row['held_out_loss']:.4f}, top-1 {row['held_out_top1']:.2f} %{bleu}",
                file=sys.stdout,
            )
            sys.stdout.flush()
