"""Which inputs of a loader belong together: crops of one photograph, frames of one film, lines of one patient.

Inputs of one group resemble each other, so how sure an estimate is, and what is held out, goes by groups. A group has
an id, anything that can be compared; one input, one id.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence, Sized
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, SequentialSampler

Groups = Sequence[Hashable] | Tensor | Callable[[Any], Iterable[Hashable]] | None
"""Ids in the loader's order, or a function of what the loader gives; None for what the loader says itself."""

HELD_OUT_EVERY = 4


class GroupReader:
    """The ids of a loader's inputs, batch by batch.

    A loader may say them itself, by a method `grouped` that gives pairs (item, ids). Without any every input is its
    own group. Raises TypeError or ValueError for `groups` that are none, or that cannot belong to this loader.
    """

    def __init__(self, loader: Iterable, groups: Groups):
        self._loader, self._function, self._ids = loader, None, None
        self._done = 0
        if callable(groups):
            self._function = groups
        elif groups is not None:
            self._ids = _listed(groups)
            _check_order(loader)
            total = _num_inputs(loader)
            if total is not None and total != len(self._ids):
                raise _wrong_length(len(self._ids), f"{total} inputs")

    def items(self) -> Iterator[tuple[Any, Iterable[Hashable] | None]]:
        """What the loader gives, each with the ids that it says, if it says any."""
        if self._function is None and self._ids is None and hasattr(self._loader, "grouped"):
            yield from self._loader.grouped()
            return
        for given in self._loader:
            yield given, None

    def ids(self, given: Any, said: Iterable[Hashable] | None, size: int) -> tuple[Hashable, ...] | None:
        """One id for each of the `size` inputs that the loader gave next; None where nobody says any."""
        first, self._done = self._done, self._done + size
        if self._ids is not None:
            if self._done > len(self._ids):
                raise _wrong_length(len(self._ids), f"{self._done} inputs and more")
            return tuple(self._ids[first : self._done])
        said = self._function(given) if self._function is not None else said
        if said is None and self._function is None:
            return None
        ids = _listed(said)
        if len(ids) != size:
            raise _wrong_length(len(ids), f"a batch of {size}")
        return tuple(ids)

    def end(self) -> None:
        """Raises ValueError where there are more ids than inputs."""
        if self._ids is not None and self._done != len(self._ids):
            raise _wrong_length(len(self._ids), f"{self._done} inputs")


def check_groups(groups: Groups, *, has_loader: bool) -> None:
    """Raises ValueError for groups without a loader whose inputs they could be of."""
    if groups is not None and not has_loader:
        raise ValueError("`groups` must come with the `loader` whose inputs they are of, got none. Pass it too.")


def is_held_out(number: int) -> bool:
    """Whether the group of this number, by first appearance, is for judging: every fourth, the second first."""
    return number % HELD_OUT_EVERY == 1


def numbered(seen: dict[Hashable, int], ids: Iterable[Hashable]) -> list[int]:
    """The number of each id, by first appearance; `seen` holds those met before and takes up the new ones."""
    return [seen.setdefault(one, len(seen)) for one in ids]


class Numbering:
    """Numbers for the groups of a loader's inputs, batch by batch; inputs of which no ids are said are a group each."""

    def __init__(self):
        self._seen: dict[Hashable, int] = {}
        self._done = 0

    def of(self, ids: Iterable[Hashable] | None, size: int) -> list[int]:
        """The number of the group of each of the next `size` inputs, by first appearance."""
        first, self._done = self._done, self._done + size
        return numbered(self._seen, range(first, self._done) if ids is None else ids)


def _listed(ids: Any) -> list[Hashable]:
    if hasattr(ids, "tolist"):  # tensors, arrays, columns of tables
        ids = ids.tolist()
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise TypeError(
            f"`groups` must be ids, one an input, or a function of a batch that gives them, got {ids!r}. Pass a list "
            "such as `[0, 0, 1]`."
        )
    ids = list(ids)
    for one in ids:
        if not isinstance(one, Hashable):
            raise TypeError(
                f"`groups` must be ids that can be compared, got a {type(one).__name__}. Use numbers or names."
            )
    return ids


def _check_order(loader: Iterable) -> None:
    if isinstance(loader, DataLoader) and not isinstance(getattr(loader, "sampler", None), SequentialSampler):
        raise ValueError(
            "`groups` must be in the order in which `loader` gives its inputs, got a list and a loader that draws its "
            "own order. Use `shuffle=False`, or a function of the batch."
        )


def _num_inputs(loader: Iterable) -> int | None:
    data = getattr(loader, "dataset", None)
    return len(data) if isinstance(data, Sized) and not getattr(loader, "drop_last", False) else None


def _wrong_length(count: int, got: str) -> ValueError:
    return ValueError(f"`groups` must have one id an input, got {count} ids for {got}. Give one for each.")
