"""Nuclear decay: the sum of the singular values as a penalty, which takes the small ones to 0.

On factors it is weight decay: (|left|^2 + |right|^2) / 2 >= |left right|_*, with equality where they are balanced
(Srebro & Shraibman 2005). An unfactorized weight has no gradient where a singular value is 0, so it is a proximal step
after the optimizer's (Cai, Candes & Shen 2010, arXiv:0810.3286): every singular value falls by lr * strength, to 0 at
least.
"""

import time
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lrexplore.linalg import dematricize, matricize


def shrink_singular_values(matrix: Float[Tensor, "m n"], amount: float) -> Float[Tensor, "m n"]:
    """The matrix with every singular value less by `amount`, and 0 below it: the proximal step of the nuclear norm.

    By the smaller Gram matrix, in float64: a fraction of an SVD's time. What falls to 0 does so up to rounding.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    working = matrix.double()
    gram = working @ working.mT if wide else working.mT @ working
    squares, vectors = torch.linalg.eigh(gram)
    values = squares.clamp_min(0).sqrt()
    kept = (1 - amount / values.clamp_min(1e-30)).clamp_min(0)
    projection = (vectors * kept) @ vectors.mT
    return (projection @ working if wide else working @ projection).to(matrix.dtype)


class NuclearDecay:
    """The proximal step for the weights of some unfactorized linear layers and convolutions, every `every` steps.

    It takes `every` steps' worth at once, for it costs an eigendecomposition a layer; `spent_s` says how long it took.
    Give these weights weight decay 0 (`without_decay`). Frozen ones are left alone.
    """

    def __init__(self, modules: Iterable[nn.Module], strength: float, *, scheme: str = "channel", every: int = 10):
        self.modules: list[Any] = [module for module in modules if module.get_parameter("weight").requires_grad]
        self.strength, self.scheme, self.every = strength, scheme, every
        self.spent_s = 0.0

    def without_decay(self, groups: list[dict]) -> list[dict]:
        """The optimizer's groups, with weight decay 0 for these weights."""
        own = {id(module.weight) for module in self.modules}
        split = []
        for group in groups:
            for is_own, name in ((False, group["name"]), (True, "nuclear")):
                params = [parameter for parameter in group["params"] if (id(parameter) in own) == is_own]
                if params:
                    decay = 0.0 if is_own else group["weight_decay"]
                    split.append({**group, "name": name, "params": params, "weight_decay": decay})
        return split

    @torch.no_grad()
    def after_step(self, number: int, optimizer: torch.optim.Optimizer) -> None:
        """Shrinks the weights where `number`, from 1, is a step at which it is due, by the optimizer's rates."""
        if number % self.every or not self.strength:
            return
        began = time.perf_counter()
        rates = {id(p): float(group["lr"]) for group in optimizer.param_groups for p in group["params"]}
        for module in self.modules:
            amount = self.every * self.strength * rates[id(module.weight)]
            for kernel in module.weight.chunk(getattr(module, "groups", 1)):
                matrix = shrink_singular_values(matricize(kernel, self.scheme), amount)
                kernel.copy_(dematricize(matrix, kernel.shape, self.scheme))
        self.spent_s += time.perf_counter() - began
