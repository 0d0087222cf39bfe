"""The inputs of a loader pass after pass, and whether they are the same each time."""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from lrexplore.linalg.digest import digest
from lrexplore.network.batches import Item, read_items, take, tensors_of
from lrexplore.network.grouping import Groups


class Passes:
    """The items of a loader as often as they are asked for; those of an iterator, which is good once, are kept.

    A later pass raises ValueError where the loader gives other inputs than on its first, as one that shuffles or draws
    crops anew: what was held out in one pass would be fitted to in another.
    """

    def __init__(self, loader: Iterable, model: nn.Module, groups: Groups = None):
        self._loader, self._model, self._groups = loader, model, groups
        self._seen: list[str] | None = None
        self._kept: list[Item] | None = None
        if iter(loader) is loader:
            self._kept = list(read_items(loader, model, groups))

    def __call__(self) -> Iterator[Item]:
        """One pass."""
        if self._kept is not None:
            yield from self._kept
            return
        seen = []
        for item in read_items(self._loader, self._model, self._groups):
            seen.append(digest(*tensors_of(item.inputs)))
            if self._seen is not None and seen[-1:] != self._seen[len(seen) - 1 : len(seen)]:
                raise _others(f"others in batch {len(seen) - 1}")
            yield item
        if self._seen is not None and len(seen) != len(self._seen):
            raise _others(f"{len(seen)} batches after {len(self._seen)}")
        self._seen = seen


def digest_of_first(batch: Any) -> str:
    """A hash of the first input of a batch, however many come with it."""
    return digest(*tensors_of(take(batch, [0])))


def _others(got: str) -> ValueError:
    return ValueError(
        f"`loader` must give the same inputs on every pass, got {got} on a later one. Use `shuffle=False` and no "
        "random augmentation, or pass a list of batches."
    )
