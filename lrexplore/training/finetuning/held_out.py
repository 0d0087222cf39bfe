"""Inputs that are set aside before training, to judge by: never one that trains."""

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, Subset

from lrexplore.network.batches import batch_size, check_loader, read_item

SHARE, MOST, FEWEST = 0.1, 2048, 256
_ALIKE = ("num_workers", "collate_fn", "pin_memory", "worker_init_fn", "generator", "multiprocessing_context")


def set_aside(loader: Iterable, *, epochs: float, seed: int) -> tuple[Iterable, list]:
    """What remains to train on, and the items that are held out of it: a tenth, at most 2,048 inputs.

    Of a DataLoader over a data set a tenth of its entries drawn by `seed`; of a list of batches every tenth batch, or
    one; of anything else, which is read once, the first batches of together 256 inputs or more.
    Raises ValueError where nothing would be left, and for a stream that must be read more than once.
    """
    check_loader(loader)
    if _is_plain(loader):
        return _split(loader, seed)
    if isinstance(loader, Sequence):
        if len(loader) < 2:
            raise _too_few(f"{len(loader)} batch" + "es" * (len(loader) != 1))
        number = max(1, round(SHARE * len(loader)))
        chosen = {(2 * k + 1) * len(loader) // (2 * number) for k in range(number)}
        held_out, count = [], 0
        for k in sorted(chosen):
            held_out.append(loader[k])
            count += batch_size(read_item(loader[k]).inputs)
            if count >= MOST:
                break
        return [item for k, item in enumerate(loader) if k not in chosen], held_out
    if epochs > 1:
        raise ValueError(
            "`held_out` must be given for more than one epoch of a loader whose order is not known, got a"
            f" {type(loader).__name__} alone. Pass inputs that it does not give, or a DataLoader over a data set."
        )
    iterator, held_out, count = iter(loader), [], 0
    for item in iterator:
        held_out.append(item)
        count += batch_size(read_item(item).inputs)
        if count >= FEWEST:
            break
    rest = list(itertools.islice(iterator, 1))
    if not rest:
        raise _too_few(f"{len(held_out)} batches, {count} inputs together")
    return itertools.chain(rest, iterator), held_out


def _is_plain(loader: Iterable) -> bool:
    """Whether it is a DataLoader that reads every entry of a data set once, in order or shuffled."""
    return (
        isinstance(loader, DataLoader)
        and type(loader.batch_sampler) is BatchSampler
        and isinstance(loader.sampler, RandomSampler | SequentialSampler)
        and len(loader.sampler) == len(loader.dataset)
    )


def _split(loader: DataLoader, seed: int) -> tuple[DataLoader, list]:
    count = len(loader.dataset)
    number = min(MOST, max(1, round(SHARE * count)))
    if count <= number:
        raise _too_few(f"{count} in its data set")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    options = {name: getattr(loader, name) for name in _ALIKE}
    shuffled = isinstance(loader.sampler, RandomSampler)
    train = Subset(loader.dataset, sorted(order[number:]))
    drop = loader.drop_last and len(train) > loader.batch_size
    rest = DataLoader(train, loader.batch_size, shuffle=shuffled, drop_last=drop, **options)
    judged = Subset(loader.dataset, sorted(order[:number]))
    return rest, list(DataLoader(judged, loader.batch_size, **{**options, "generator": None}))


def _too_few(got: str) -> ValueError:
    return ValueError(
        f"`loader` must give enough to hold some out and train on the others, got {got}. Pass more, or inputs of their"
        " own as `held_out`."
    )
