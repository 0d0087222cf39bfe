"""Masks that move while a network trains: gradual magnitude pruning, SET and RigL."""

import math

import torch
from torch import Tensor, nn

from lrexplore.datasets.split import mix
from lrexplore.nn.sparse import SparseWeight, sparse_layers
from lrexplore.recipes.config import REWIRED, Config

UNTIL = 0.75  # of the run: what is there then has the rest of it to settle
SHARE = 0.3  # of a layer's weights that move at the first change, then falling as a cosine
_NUM_CHANGES = 30


class Rewiring:
    """The moves of one run: a function of the step, the seed, the weights and their gradients, so a resumed run makes
    the same. Every process makes them by itself, from equal numbers.

    "gradual": after every so many steps the smallest weights of the whole network go, s (1 - (1 - t)^3) of them (Zhu &
    Gupta 2017, arXiv:1710.01878). "set" and "rigl" keep the number of weights of each layer: the smallest go, and as
    many others come, at zero: drawn ones (Mocanu et al. 2018, arXiv:1707.04780), or those whose gradient would be
    largest (Evci et al. 2020, arXiv:1911.11134). Unlike there the other weights are not held in that step, and what SET
    lets grow begins at zero too.

    For a gradient of the weights that are not there, `before_backward` opens the masks for that step, which changes no
    output: these weights are zero.
    """

    def __init__(self, model: nn.Module, config: Config, num_steps: int):
        assert config.sparsity is not None
        self.layers: dict[str, SparseWeight] = sparse_layers(model)
        self.method, self.sparsity, self.seed = config.prune, config.sparsity, config.seed
        self.last = max(1, math.floor(UNTIL * num_steps))
        self.every = max(1, self.last // _NUM_CHANGES)
        self._open: dict[str, Tensor] = {}

    @classmethod
    def of(cls, model: nn.Module, config: Config, num_steps: int) -> "Rewiring | None":
        """The moves that a run makes; None where its masks stay."""
        return cls(model, config, num_steps) if config.prune in REWIRED else None

    def is_due(self, step: int) -> bool:
        """Whether the masks change in step number `step`, from 0: gradual ones also in the last that may."""
        done = step + 1
        is_last = self.method == "gradual" and done == self.last
        return done <= self.last and (done % self.every == 0 or is_last)

    @torch.no_grad()
    def before_backward(self, step: int) -> None:
        """Opens the masks where the gradient of all weights is asked for."""
        if self.method == "rigl" and self.is_due(step):
            for name, layer in self.layers.items():
                self._open[name] = layer.mask.clone()
                layer.mask.fill_(True)

    @torch.no_grad()
    def after_backward(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        """Changes the masks where that is due; weights, gradients and the optimizer's memory follow."""
        if not self.is_due(step):
            return
        if self.method == "gradual":
            kept = self._smaller((step + 1) / self.last)
            moved = {name: (mask, mask) for name, mask in kept.items()}
        else:
            share = SHARE / 2 * (1 + math.cos(math.pi * (step + 1) / self.last))
            generator = torch.Generator().manual_seed(mix(self.seed, step, 1))
            moved = {name: self._moved(name, layer, share, generator) for name, layer in self.layers.items()}
        for name, (stayed, mask) in moved.items():
            layer = self.layers[name]
            layer.mask.copy_(mask)
            layer.weight.mul_(stayed)
            if layer.weight.grad is not None:
                layer.weight.grad.mul_(mask)
            for value in optimizer.state.get(layer.weight, {}).values():
                if isinstance(value, Tensor) and value.shape == layer.weight.shape:
                    value.mul_(stayed)
        self._open = {}

    def cut_off(self) -> list[str]:
        """The layers of which no weight is left."""
        return [name for name, layer in self.layers.items() if not layer.mask.any()]

    def _smaller(self, time: float) -> dict[str, Tensor]:
        """The masks of the largest weights of the whole network, fewer as `time` goes from 0 to 1."""
        total = sum(layer.mask.numel() for layer in self.layers.values())
        now = sum(layer.num_kept for layer in self.layers.values())
        count = min(now, round((1 - self.sparsity * (1 - (1 - time) ** 3)) * total))
        sizes = [layer.weight.abs().float().masked_fill(~layer.mask, -1).flatten() for layer in self.layers.values()]
        chosen = torch.cat(sizes)
        mask = torch.zeros_like(chosen, dtype=torch.bool)
        mask[chosen.topk(count).indices] = True
        parts = mask.split([len(size) for size in sizes])
        return {
            name: part.view(layer.mask.shape) for (name, layer), part in zip(self.layers.items(), parts, strict=True)
        }

    def _moved(self, name: str, layer: SparseWeight, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The mask of what stays, and that of what is there afterwards: as many as before."""
        there = self._open.get(name, layer.mask)
        weight, num_there = layer.weight, int(there.sum())
        num_moved = min(round(share * num_there), there.numel() - num_there)
        stayed = torch.zeros_like(there)
        largest = weight.abs().masked_fill(~there, -1).flatten().topk(num_there - num_moved).indices
        stayed.view(-1)[largest] = True
        if self.method == "set":
            wish = torch.rand(weight.shape, generator=generator).to(weight.device)
        else:
            grad = weight.grad
            wish = torch.zeros_like(weight) if grad is None else grad.abs()
        mask = stayed.clone()
        mask.view(-1)[wish.masked_fill(stayed, -1).flatten().topk(num_moved).indices] = True
        return stayed, mask
