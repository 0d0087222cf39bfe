"""The inputs of a loader in two parts of which no group is in both: to fit to, and to judge by."""

from collections.abc import Iterable
from typing import Any

from lrexplore.network.batches import Item, batch_size, take
from lrexplore.network.grouping import Numbering, is_held_out


class Parts:
    """`fit` and `judged`, lists of batches, and the number of the group of each judged input, in their order.

    The same groups are held out as `calibrate` holds out of the same loader; all where nothing `fits` to them.
    """

    def __init__(self, items: Iterable[Item], *, fits: bool = True):
        self.fit: list[Any] = []
        self.judged: list[Any] = []
        self.judged_groups: list[int] = []
        numbering = Numbering()
        fitted: set[int] = set()
        for item in items:
            size = batch_size(item.inputs)
            numbers = numbering.of(item.groups, size)
            held = [place for place, number in enumerate(numbers) if not fits or is_held_out(number)]
            kept = [place for place in range(size) if fits and not is_held_out(numbers[place])]
            if held:
                self.judged.append(take(item.inputs, held))
                self.judged_groups += [numbers[place] for place in held]
            if kept:
                self.fit.append(take(item.inputs, kept))
                fitted.update(numbers[place] for place in kept)
        self.num_fit_groups = len(fitted)

    def spread_out(self, most: int) -> list[Any]:
        """Batches of judged inputs, `most` at most, so many of each group as all have room for, the first ones."""
        counts: dict[int, int] = {}
        rank = []  # the how manieth of its group an input is
        for number in self.judged_groups:
            counts[number] = counts.get(number, 0) + 1
            rank.append(counts[number])
        chosen = set(sorted(range(len(rank)), key=rank.__getitem__)[:most])
        batches, place = [], 0
        for batch in self.judged:
            size = batch_size(batch)
            here = [row for row in range(size) if place + row in chosen]
            place += size
            if here:
                batches.append(take(batch, here))
        return batches
