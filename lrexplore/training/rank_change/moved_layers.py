"""A layer at another rank, and what stood in its old parameters' shape as it stands in that of the new ones.

A matrix W (m, n) becomes left = W A and right = B W of the largest singular directions, A = V S^(-1/2) and
B = S^(-1/2) U^T; a pair becomes left A and B right, the best pair of the smaller rank, balanced. What a gradient G of W
is to the new factors, G right^T and left^T G, follows from that of the old: that is exact of SGD's momentum and Adam's
first moment, which are sums of gradients. Of squares the maps take the squares of their numbers, as if the entries of
a gradient were independent: Adam's second moment is carried so, an approximation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from lrexplore.linalg import Factors, matricize, matrix_shape, truncate
from lrexplore.linalg.products import gram_factors
from lrexplore.nn import FACTORIZED, FactorizedConv2d, FactorizedLinear


@dataclass(frozen=True, eq=False)
class Moved:
    """A new parameter, the old one that it comes of, and the maps P x Q, group by group, from one to the other.

    `gradient` is for what adds up gradients, `value` for averages of weights; a map may have None for the identity.
    """

    old: nn.Parameter
    new: nn.Parameter
    read: Callable[[Tensor], Tensor]
    gradient: tuple[Tensor | None, Tensor | None]
    value: tuple[Tensor | None, Tensor | None]

    def carry(self, old: Tensor, *, squares: bool = False) -> Tensor:
        """A sum of gradients, or of their squares, in the new parameter's shape."""
        before, after = self.gradient
        if squares:
            before, after = (None if part is None else part.square() for part in (before, after))
        return self._mapped(old, before, after)

    def average(self, old: Tensor) -> Tensor:
        """An average of the old parameter's values in the new one's shape."""
        return self._mapped(old, *self.value)

    def _mapped(self, old: Tensor, before: Tensor | None, after: Tensor | None) -> Tensor:
        stack = self.read(old.detach()).double()
        stack = stack if before is None else before @ stack
        stack = stack if after is None else stack @ after
        return stack.flatten(0, 1).to(self.new.dtype).contiguous()


def singular_values(module: nn.Module, scheme: str) -> Tensor:
    """The singular values of a layer, (groups, values), descending, in float64; of a pair as many as its rank."""
    if isinstance(module, FACTORIZED):
        left, right = (part.detach().double() for part in module.factor_stacks())
        return gram_factors(left.mT @ left, right @ right.mT)[1]
    return torch.linalg.svdvals(_stack(cast(Any, module).weight.detach(), getattr(module, "groups", 1), scheme))


@torch.no_grad()
def shrink(module: Any, rank: int) -> list[Moved]:
    """Cuts a factorized layer, in its place, to its largest directions; what became of its factors."""
    left, right = (part.double() for part in module.factor_stacks())
    to_left, _, to_right = gram_factors(left.mT @ left, right @ right.mT, rank)
    groups, old = module.groups, (module.left, module.right)
    for name, stack in (("left", left @ to_left), ("right", to_right @ right)):
        value = stack.flatten(0, 1).to(module.left.dtype).contiguous()
        setattr(module, name, nn.Parameter(value, requires_grad=module.left.requires_grad))
    module.rank = rank

    def read(stacked: Tensor) -> Tensor:
        return stacked.unflatten(0, (groups, -1))

    return [
        Moved(old[0], module.left, read, (None, to_right.mT), (None, to_left)),
        Moved(old[1], module.right, read, (to_left.mT, None), (to_right, None)),
    ]


@torch.no_grad()
def switch(model: nn.Module, name: str, rank: int, scheme: str) -> list[Moved]:
    """Puts a factorized layer with the largest directions in the place of an unfactorized one; what became of it."""
    layer: Any = model.get_submodule(name)
    groups, weight = getattr(layer, "groups", 1), layer.weight
    pairs = [truncate(matrix, rank) for matrix in _stack(weight.detach(), groups, scheme)]
    left, right = (torch.stack([getattr(pair, side) for pair in pairs]) for side in ("left", "right"))
    new = put_in_place(model, name, rank, scheme)
    new.left.copy_(left.flatten(0, 1))
    new.right.copy_(right.flatten(0, 1))
    values = left.square().sum(1).clamp_min(1e-30)  # the columns of balanced factors have the squared norms s

    def read(kernel: Tensor) -> Tensor:
        return _stack(kernel, groups, scheme)

    return [
        Moved(weight, new.left, read, (None, right.mT), (None, right.mT / values[:, None, :])),
        Moved(weight, new.right, read, (left.mT, None), (left.mT / values[:, :, None], None)),
    ]


def put_in_place(model: nn.Module, name: str, rank: int, scheme: str) -> Any:
    """Makes the layer of that name a factorized one of this rank, its factors to be filled; that layer."""
    old: Any = model.get_submodule(name)
    if isinstance(old, FACTORIZED):
        for side, kept in (("left", old.left[:, :rank]), ("right", old.right[: old.groups * rank])):
            setattr(old, side, nn.Parameter(torch.zeros_like(kept), requires_grad=old.left.requires_grad))
        old.rank = rank
        return old
    groups = getattr(old, "groups", 1)
    m, n = matrix_shape((len(old.weight) // groups, *old.weight.shape[1:]), scheme)
    empty = Factors(old.weight.new_zeros(m, rank), old.weight.new_zeros(rank, n))
    new: Any
    if isinstance(old, nn.Linear):
        new = FactorizedLinear.from_layer(old, empty)
    else:
        new = FactorizedConv2d.from_layer(old, [empty] * groups, scheme)
    if old.bias is not None:
        new.bias = old.bias  # the parameter itself: what the optimizer knows of it stays
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new)
    return new


def _stack(kernel: Tensor, groups: int, scheme: str) -> Tensor:
    return torch.stack([matricize(part, scheme) for part in kernel.double().chunk(groups)])
