"""How far the moments of a layer's inputs are from the truth, for inputs that come in groups."""

import torch
from torch import Tensor

MOST_GROUPS, MOST_A_GROUP = 64, 12


class Spread:
    """Some vectors of some groups, each group equally likely to be among them, and from them how moments vary.

    With M_b what group b has to say of the covariance, E|mean of M_b - truth|_F^2 = (E|M_b|^2 - |truth|^2) / groups.
    For centred vectors x and y the mean of (x . y)^2 is |truth|^2 where they are of different groups, and within one
    it is E|M_b|^2, but for the part in which x = y, which counts as often as it does among all vectors of a group.
    So pairs of vectors say it, without the bias that a few vectors a group would bring.
    """

    def __init__(self, generator: torch.Generator):
        self._generator = generator
        self._keys: dict[int, float] = {}  # of every group that was met
        self._kept: dict[int, list[Tensor]] = {}
        self._counts: dict[int, int] = {}

    def add(self, vectors: Tensor, numbers: list[int]) -> None:
        """Takes up vectors (inputs, size, n) of the groups with these numbers, one an input."""
        inputs, size = vectors.shape[:2]
        for place, number in enumerate(numbers[:inputs]):
            self._counts[number] = self._counts.get(number, 0) + size
            if number not in self._keys:
                self._keys[number] = float(torch.rand(1, generator=self._generator))
                self._kept[number] = []
                if len(self._kept) > MOST_GROUPS:
                    self._kept.pop(max(self._kept, key=self._keys.__getitem__))
            if number in self._kept:
                self._take(number, vectors[place])

    def _take(self, number: int, vectors: Tensor) -> None:
        picked = torch.randperm(len(vectors), generator=self._generator)[:MOST_A_GROUP].to(vectors.device)
        parts = self._kept[number]
        parts.append(vectors[picked].clone())
        if len(parts) > 8:  # a large group: what stays is drawn again
            both = torch.cat(parts)
            again = torch.randperm(len(both), generator=self._generator)[: 4 * MOST_A_GROUP].to(both.device)
            self._kept[number] = [both[again]]

    @property
    def num_groups(self) -> int:
        """How many groups there were."""
        return len(self._counts)

    def of_covariance(self, mean: Tensor) -> float:
        """Expected squared Frobenius distance of the covariance from the truth; infinite for one group."""
        if len(self._kept) < 2:
            return float("inf")
        vectors, places = [], []
        for place, parts in enumerate(self._kept.values()):
            both = torch.cat(parts)
            again = torch.randperm(len(both), generator=self._generator)[:MOST_A_GROUP].to(both.device)
            vectors.append(both[again])
            places += [place] * len(again)
        x = torch.cat(vectors).double() - mean
        group = torch.tensor(places, device=x.device)
        products = x @ x.mT
        alike, itself = group[:, None] == group, torch.eye(len(x), dtype=torch.bool, device=x.device)
        counts = torch.tensor(list(self._counts.values()), dtype=torch.float64)
        groups, own = float(counts.sum().square() / counts.square().sum()), 1 / float(counts.mean())
        squares = products.square()
        within, across = _mean(squares, alike & ~itself), _mean(squares, ~alike)
        between = own * float(squares.diagonal().mean()) + (1 - own) * within - across
        # Vectors were centred by the mean of them all, which hides a part.
        return max(between, 0.0) / groups * len(counts) / (len(counts) - 1)


def _mean(values: Tensor, chosen: Tensor) -> float:
    count = int(chosen.sum())
    return float(values[chosen].sum()) / count if count else 0.0
