"""Texts: batches of so many pieces, and a vocabulary that stays what it was when the run began."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from lrexplore.datasets.split import epoch_order, mix
from lrexplore.datasets.text import Subwords, TextData, TokenBatch, open_texts
from lrexplore.datasets.text.token_batches import cut_into_batches
from lrexplore.disk.whole_file import write_whole
from lrexplore.recipes.config import Config
from lrexplore.training.loading import StepPlan
from lrexplore.training.processes import Processes

NAME = "subwords.json"


class TextTask:
    """Texts in batches of at most `batch_size` pieces, padding included; `ImageTask` says what the parts are.

    Which texts a batch holds depends on their lengths alone; the order of the batches on the seed and the epoch.
    Micro-batch k of process p has every so-manieth text of the step's batch, from number k * num_processes + p on.
    """

    unit = "token"

    def open(self, config: Config, subwords: Subwords | None) -> TextData:
        """The data, with these subwords or with those of its texts."""
        raise NotImplementedError

    def data(self, config: Config) -> TextData:
        """The texts, with the vocabulary that a run began with. ValueError where the texts are others by now."""
        path = Path(config.runs, config.name or "", NAME)
        if not config.resume or not path.exists():
            return self.open(config, None)
        kept = json.loads(path.read_text(encoding="utf-8"))
        data = self.open(config, Subwords.of_text(json.dumps(kept["subwords"])))
        if _fingerprint(data) != kept["texts"]:
            raise ValueError(
                f"`data` must hold the texts that the run {config.name} began with, got others in {config.data}."
                " Restore them, or train under another name."
            )
        return data

    def keep(self, folder: Path, data: TextData) -> None:
        """Writes the vocabulary, and by which a later process knows the texts again."""
        if not (folder / NAME).exists():
            content = {"texts": _fingerprint(data), "subwords": json.loads(data.subwords.to_text())}
            write_whole(folder / NAME, json.dumps(content, ensure_ascii=False))

    def plan(self, config: Config, data: TextData, num_processes: int) -> StepPlan:
        """A step is one batch; micro-batches hold a share of its texts."""
        micro = config.micro_batch_size or config.batch_size // num_processes
        shares, rest = divmod(config.batch_size, max(micro, 1))
        if not micro or rest or shares % num_processes:
            raise ValueError(
                f"`batch_size` must be a multiple of the pieces that {num_processes} processes take at once"
                f" ({max(micro, 1)} each), got {config.batch_size}. Change `batch_size` or `micro_batch_size`."
            )
        per_epoch = len(cut_into_batches(data.train.lengths(), config.batch_size, shares))
        steps = config.steps if config.steps is not None else max(1, round(config.epochs * per_epoch))
        return StepPlan(
            num_steps=steps, steps_per_epoch=per_epoch, micro_batch_size=micro,
            num_micro_batches=shares // num_processes,
        )  # fmt: skip

    def training_batches(
        self, config: Config, data: TextData, plan: StepPlan, processes: Processes, start: int
    ) -> Iterator[list[TokenBatch]]:
        shares = plan.num_micro_batches * processes.count
        batches = cut_into_batches(data.train.lengths(), config.batch_size, shares)
        order: list[int] = []
        for step in range(start, plan.num_steps):
            epoch, position = plan.epoch(step), step % plan.steps_per_epoch
            if not order or position == 0:
                order = epoch_order(len(batches), config.seed, epoch)
            texts, seed = batches[order[position]], mix(config.seed, epoch)
            mine = range(processes.index, shares, processes.count)
            yield [data.train.batch(texts[share::shares], texts, seed) for share in mine]

    def evaluation_batches(self, part: Any, config: Config, plan: StepPlan, processes: Processes) -> Iterator:
        # A part may hold a longer text than those that train.
        lengths = part.lengths()
        batches = cut_into_batches(lengths, max(plan.micro_batch_size, *lengths))
        return (part.batch(texts, texts) for texts in batches[processes.index :: processes.count])

    def inputs(self, batch: TokenBatch, learner: Any) -> tuple[Tensor, ...]:
        return tuple(tensor.to(learner.processes.device, non_blocking=True) for tensor in batch.inputs)

    def num_labels(self, config: Config, batches: list[TokenBatch]) -> int:
        return batches[0].num_labels

    def judge(self, learner: Any, part: Any, config: Config, stop: Callable[[], bool]) -> dict[str, float] | None:
        return {}


class MaskedTask(TextTask):
    """Guessing the masked pieces of texts; top-1 is the share of them that is guessed."""

    def open(self, config: Config, subwords: Subwords | None) -> TextData:
        return open_texts(
            config.data, held_out=config.held_out, vocabulary=config.vocabulary, num_texts=config.num_images,
            subwords=subwords,
        )  # fmt: skip


def _fingerprint(data: TextData) -> str:
    """One text for all texts of the data, as they are numbered."""
    content = [part.fingerprint() for part in (data.train, data.held_out, data.test)]
    return hashlib.sha256("".join(content).encode()).hexdigest()
