"""Running statistics of batch norms, corrected for what factorizing changed."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lrexplore.network.batches import run_model
from lrexplore.network.forward.follows import is_batch_norm
from lrexplore.network.private import private_copy


class _Statistics:
    """Mean and variance of each channel over all batches so far."""

    def __init__(self):
        self._count = 0
        self._sum: Any = 0.0
        self._squares: Any = 0.0

    def add(self, x: Tensor) -> None:
        x = x.detach().transpose(0, 1).flatten(1).double() if x.ndim > 2 else x.detach().mT.double()
        self._count += x.shape[1]
        self._sum = self._sum + x.sum(1)
        self._squares = self._squares + x.square().sum(1)

    def moments(self) -> tuple[Tensor, Tensor]:
        mean = self._sum / self._count
        return mean, (self._squares / self._count - mean.square()).clamp_min(0)


def has_statistics(model: nn.Module) -> bool:
    """Whether the model has a batch norm that stores statistics."""
    return bool(_with_statistics(model))


def _with_statistics(model: nn.Module) -> list[str]:
    return [
        name for name, module in model.named_modules()
        if is_batch_norm(module) and getattr(module, "running_mean", None) is not None
    ]  # fmt: skip


def correct_batch_norms(model: nn.Module, factorized: nn.Module, batches: Iterable) -> int:
    """The number of batch norms in `factorized` whose running statistics were moved by what factorizing changed.

    Both models see the same batches; afterwards every normalized channel has the mean and variance on them that it has
    in `model`. So the statistics stay those of the training data where the factors change nothing, which fresh
    statistics of a few batches would not. They are corrected while the batches pass, so that a batch norm sees
    inputs that earlier ones already corrected.
    `factorized` is changed in place; `model` is not. Layers are matched by name. Batches are moved to the models'
    device; a dict gives the forward's arguments by name.
    """
    names = _with_statistics(factorized)
    if not names:
        return 0
    before, after = ({name: _Statistics() for name in names} for _ in range(2))
    kept, model, factorized = factorized, private_copy(model), private_copy(factorized)
    pairs = {name: (model.get_submodule(name), factorized.get_submodule(name)) for name in names}
    hooks = []
    for name, (original, changed) in pairs.items():
        hooks.append(original.register_forward_pre_hook(partial(_observe, before[name])))
        hooks.append(changed.register_forward_pre_hook(partial(_correct, original, before[name], after[name])))
    try:
        with torch.no_grad():
            for batch in batches:
                run_model(model, batch)
                run_model(factorized, batch)
    finally:
        for hook in hooks:
            hook.remove()
    for name, (_, changed) in pairs.items():
        kept.get_submodule(name).running_mean.copy_(changed.running_mean)
        kept.get_submodule(name).running_var.copy_(changed.running_var)
    return len(names)


def _observe(statistics: _Statistics, module: nn.Module, args) -> None:
    statistics.add(args[0])


def _correct(original: nn.Module, before: _Statistics, after: _Statistics, module: nn.Module, args) -> None:
    after.add(args[0])
    (old_mean, old_variance), (mean, variance) = before.moments(), after.moments()
    small = 1e-3 * original.running_var.double() + original.eps
    ratio = torch.where(old_variance > small, variance / old_variance.clamp_min(1e-30), 1)
    ratio = ratio.clamp(1e-2, 1e2)
    module.running_mean.copy_(mean - (old_mean - original.running_mean) * ratio.sqrt())
    module.running_var.copy_((original.running_var + original.eps) * ratio - original.eps)
