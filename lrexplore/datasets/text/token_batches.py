"""Batches of texts of about one length, so that a batch holds so many pieces and little padding."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lrexplore.datasets.text.subwords import BEGIN, END, MASK, PAD

_MASKED, _REPLACED, _KEPT = 0.15, 0.1, 0.1  # Devlin et al. 2019: of the masked ones a tenth is random, a tenth stays
_NUM_MARKS = 4


class TokenBatch(NamedTuple):
    """What a network gets, `model(*inputs)` -> one row of logits a label; labels (n,); the labels of the whole step.

    `num_labels` counts those of all micro-batches and processes: the loss of a step is their mean.
    `corrupt` is empty: a text cannot be broken where a file can.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor
    corrupt: list[str]
    num_labels: int


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """The rows as one tensor (rows, longest), int64, filled up with PAD."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])


class TokenPairs:
    """Pairs of texts as numbers. A batch's inputs: source with its end, target with its beginning, where labels are."""

    def __init__(self, pairs: Sequence[tuple[str, str]], numbers: tuple[list[list[int]], list[list[int]]]):
        self.pairs, self._numbers = list(pairs), numbers

    def __len__(self) -> int:
        return len(self.pairs)

    def lengths(self) -> list[int]:
        """Of each pair the longer side, marks included."""
        return [1 + max(map(len, pair)) for pair in zip(*self._numbers, strict=True)]

    def fingerprint(self) -> str:
        """One text for all of the numbers."""
        return _hashed(self._numbers)

    def sources(self, indices: Sequence[int]) -> Tensor:
        """The sources with their ends, (rows, longest)."""
        return padded([[*self._numbers[0][index], END] for index in indices])

    def batch(self, indices: Sequence[int], step: Sequence[int], seed: int | None = None) -> TokenBatch:
        """The pairs `indices` of a step that has the pairs `step`; nothing in it is drawn."""
        targets = [self._numbers[1][index] for index in indices]
        labels, given = padded([[*row, END] for row in targets]), padded([[BEGIN, *row] for row in targets])
        num_labels = sum(len(self._numbers[1][index]) + 1 for index in step)
        where = labels != PAD
        return TokenBatch((self.sources(indices), given, where), labels[where], [], num_labels)


class TokenTexts:
    """Texts as numbers. A batch's inputs: the text with pieces masked, and where those are; labels: what stood there.

    The draw of the masks depends on the seed and the text's number alone, whichever batch it is in.
    """

    def __init__(self, numbers: list[list[int]], vocabulary: int):
        self._numbers, self._vocabulary = numbers, vocabulary

    def __len__(self) -> int:
        return len(self._numbers)

    def lengths(self) -> list[int]:
        """Of each text, marks included."""
        return [2 + len(row) for row in self._numbers]

    def fingerprint(self) -> str:
        """One text for all of the numbers."""
        return _hashed(self._numbers)

    def batch(self, indices: Sequence[int], step: Sequence[int], seed: int | None = None) -> TokenBatch:
        """The texts `indices` of a step that has the texts `step`."""
        rows, wheres, labels = [], [], []
        for index in indices:
            row = torch.tensor([BEGIN, *self._numbers[index], END])
            generator = torch.Generator().manual_seed((seed or 0) ^ (index * 0x9E3779B97F4A7C15 & 0x7FFFFFFFFFFFFFFF))
            where = torch.zeros(len(row), dtype=torch.bool)
            count = self._num_masked(index)
            where[1 + torch.randperm(len(row) - 2, generator=generator)[:count]] = True
            labels.append(row[where])
            dice = torch.rand(count, generator=generator)
            others = torch.randint(_NUM_MARKS, self._vocabulary, (count,), generator=generator)
            put = torch.where(dice < _REPLACED, others, torch.tensor(MASK))
            row[where] = torch.where(dice >= 1 - _KEPT, row[where], put)
            rows.append(row.tolist())
            wheres.append(where.tolist())
        inputs = padded(rows)
        where = padded(wheres).bool()
        return TokenBatch((inputs, where), torch.cat(labels), [], sum(map(self._num_masked, step)))

    def _num_masked(self, index: int) -> int:
        return max(1, round(_MASKED * len(self._numbers[index])))


def _hashed(numbers: object) -> str:
    return hashlib.sha256(str(numbers).encode()).hexdigest()


def cut_into_batches(lengths: Sequence[int], most: int, shares: int = 1) -> list[list[int]]:
    """Indices of texts by length, in batches whose rows times the longest is at most `most`.

    A batch with fewer rows than `shares`, the last one of all, is left out unless it is the only one; with one share
    every text is in a batch. Raises ValueError for a text that is longer than `most`.
    """
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    if order and lengths[order[-1]] * shares > most:
        raise ValueError(
            f"`batch_size` must have room for {shares} of the longest texts ({lengths[order[-1]]} pieces each), got"
            f" {most} pieces. Use {lengths[order[-1]] * shares} or more."
        )
    batches: list[list[int]] = [[]]
    for index in order:
        if (len(batches[-1]) + 1) * lengths[index] > most:
            batches.append([])
        batches[-1].append(index)
    if len(batches) > 1 and len(batches[-1]) < shares:
        batches.pop()
    return batches
