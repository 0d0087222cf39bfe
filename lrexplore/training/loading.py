"""Which images every process gets at every step: a function of the seed and the step alone."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from torch.utils.data import DataLoader

from lrexplore.datasets import Batch, Data, Request, Shards, TensorImages, epoch_order
from lrexplore.datasets.split import mix
from lrexplore.recipes.config import Config
from lrexplore.training.processes import Processes


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """How a run is cut into steps and micro-batches. Raises ValueError in `of` where that does not come out even."""

    num_steps: int
    steps_per_epoch: int
    micro_batch_size: int
    num_micro_batches: int  # of one process in one step

    @classmethod
    def of(cls, config: Config, num_images: int, num_processes: int) -> "StepPlan":
        """The plan of a run over so many training images."""
        batch = config.batch_size
        if batch > num_images:
            raise ValueError(
                f"`batch_size` must be at most the {num_images} training images, got {batch}. Use a smaller one."
            )
        micro = config.micro_batch_size or batch // num_processes
        if not micro or batch % (micro * num_processes):
            raise ValueError(
                f"`batch_size` must be a multiple of the images that {num_processes} processes take at once"
                f" ({max(micro, 1)} each), got {batch}. Change `batch_size` or `micro_batch_size`."
            )
        per_epoch = num_images // batch
        steps = config.steps if config.steps is not None else max(1, round(config.epochs * per_epoch))
        return cls(
            num_steps=steps, steps_per_epoch=per_epoch, micro_batch_size=micro,
            num_micro_batches=batch // (micro * num_processes),
        )  # fmt: skip

    def epoch(self, step: int) -> int:
        """The epoch (from 1) that step number `step` (from 0) belongs to."""
        return step // self.steps_per_epoch + 1


def training_batches(
    config: Config, data: Data, plan: StepPlan, processes: Processes, start: int
) -> Iterator[list[Batch]]:
    """The micro-batches of this process for every step from `start` on.

    Micro-batch k of process p is number k * num_processes + p of the step's images, whatever the number of
    processes. Shards are read in a row instead: a resumed run reads those of its epoch once more up to its step.
    """
    if isinstance(data.train, Shards):
        batches = _from_shards(config, data.train, plan, processes, start)
    else:
        batches = _read(
            _loader(data.train, config, _requests(config, len(data.train), plan, processes, start), processes)
        )
    while step := list(itertools.islice(batches, plan.num_micro_batches)):
        yield step


def evaluation_batches(images, config: Config, batch_size: int, processes: Processes) -> Iterator[Batch]:
    """This process's share of all images of a split, as they are."""
    if isinstance(images, Shards):
        share = {"process_index": processes.index, "num_processes": processes.count}
        return _read(_stream_loader(images.stream(batch_size, seed=None, **share), config))
    starts = range(0, len(images), batch_size)[processes.index :: processes.count]
    requests = [Request(list(range(start, min(start + batch_size, len(images))))) for start in starts]
    return _read(_loader(images, config, requests, processes))


def _requests(config: Config, num_images: int, plan: StepPlan, processes: Processes, start: int) -> Iterator[Request]:
    order: list[int] = []
    size = plan.micro_batch_size
    for step in range(start, plan.num_steps):
        epoch, position = plan.epoch(step), step % plan.steps_per_epoch
        if not order or position == 0:
            order = epoch_order(num_images, config.seed, epoch)
        for k in range(plan.num_micro_batches):
            number = k * processes.count + processes.index
            first = position * config.batch_size + number * size
            seed = mix(config.seed, epoch, position, number) if config.augment else None
            yield Request(order[first : first + size], seed)


def _loader(images, config: Config, requests, processes: Processes) -> DataLoader:
    # Images in memory are cut faster than they would travel between processes.
    workers = 0 if isinstance(images, TensorImages) else config.workers
    options = {"num_workers": workers, "pin_memory": processes.device.type == "cuda", "collate_fn": _as_it_is}
    return DataLoader(images, batch_size=None, sampler=requests, **options)


def _stream_loader(stream, config: Config) -> DataLoader:
    return DataLoader(stream, batch_size=None, num_workers=config.workers, collate_fn=_as_it_is)


def _read(loader: DataLoader) -> Iterator[Batch]:
    """Its batches. What a worker raises is raised in its own words, without the worker's traceback around them."""
    try:
        yield from loader
    except (ValueError, OSError) as error:
        text = str(error)
        if not text.startswith("Caught "):
            raise
        raise ValueError(text.strip().splitlines()[-1].partition(": ")[2]) from error


def _from_shards(config: Config, shards: Shards, plan: StepPlan, processes: Processes, start: int) -> Iterator[Batch]:
    share = {"process_index": processes.index, "num_processes": processes.count}
    for epoch in itertools.count(plan.epoch(start)):
        stream = shards.stream(plan.micro_batch_size, seed=mix(config.seed, epoch), **share)
        first_step = (epoch - 1) * plan.steps_per_epoch
        if first_step >= plan.num_steps:
            return
        skipped = max(0, start - first_step) * plan.num_micro_batches
        wanted = min(plan.steps_per_epoch, plan.num_steps - first_step) * plan.num_micro_batches
        yield from itertools.islice(_read(_stream_loader(stream, config)), skipped, wanted)


def _as_it_is(batch: Batch) -> Batch:
    return batch
