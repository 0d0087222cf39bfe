"""Frobenius decay: the squared norm of the product as a penalty, in the place of weight decay on its factors."""

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lrexplore.linalg import upcast
from lrexplore.nn import Factorized, FactorPair
from lrexplore.nn.kinds import check_module
from lrexplore.optim.head_decay import HeadDecay, head_decays
from lrexplore.optim.lamb import Lamb


def frobenius_penalty(module: Factorized) -> Tensor:
    """|W|_F^2 of what one factorized module multiplies its factors to, differentiable; W is never formed."""
    return module.frobenius_penalty()


@torch.no_grad()
def add_frobenius_decay(modules: Iterable[Factorized], strength: float) -> None:
    """Adds the gradients of (strength/2) |W|_F^2 to the `.grad` of every factor in `modules`.

    Call it between backward and step, after gradients were averaged over processes, unscaled and clipped: it
    then enters once, whatever the number of processes, micro-batches or the loss scale, exactly as torch's own
    weight decay does. Factors that are frozen or have no gradient are left alone, as weight decay leaves them.
    """
    for module in modules:
        moving = [factor.requires_grad and factor.grad is not None for factor in module.factor_parameters()]
        if not any(moving):
            continue
        if not isinstance(module, FactorPair):
            for factor, gradient in zip(module.factor_parameters(), module.penalty_gradients(), strict=True):
                if factor.requires_grad and factor.grad is not None:
                    factor.grad.add_(gradient, alpha=strength)
            continue
        # A pair's gradients are products: they are added as they are formed.
        left, right = map(upcast, module.factor_stacks())
        grams = left.mT @ left, right @ right.mT
        pairs = (left, grams[1]), (grams[0], right)
        for factor, (first, second) in zip(module.factor_parameters(), pairs, strict=True):
            if factor.requires_grad and factor.grad is not None:
                stack = factor.grad.unflatten(0, (len(left), -1))
                if stack.dtype == first.dtype:
                    stack.baddbmm_(first, second, alpha=strength)
                else:
                    stack.add_(first @ second, alpha=strength)


@torch.no_grad()
def shrink_by_frobenius_decay(module: Factorized, amounts: Sequence[float]) -> None:
    """Moves the factors against the gradients of |W|_F^2 / 2, each times its amount.

    A factor without a gradient stays where it is.
    """
    gradients = module.penalty_gradients()
    for factor, gradient, amount in zip(module.factor_parameters(), gradients, amounts, strict=True):
        if factor.requires_grad and factor.grad is not None:
            factor.sub_(gradient, alpha=amount)


class FrobeniusDecay:
    """Frobenius decay as part of an optimizer's `step`, for the factorized layers and the attention heads of a model.

    `linear`: the factorized layers. `qk`, `ov`: the query-key and the output-value product of every head, |W_q^T
    W_k|_F^2 and |W_o W_v|_F^2 of weights without biases, also in ordinary attentions with True; None stands for
    factorized heads only. The three switches know nothing of each other. Say the same ones to `parameter_groups`.

    With SGD (and any optimizer whose weight decay is an L2 term) it adds to the gradients. With AdamW, whose
    weight decay is decoupled, it moves the factors by lr * strength * gradient of |W|_F^2 / 2 instead:
    the coefficient then means what it means for the other weights. With Lamb it stands where Lamb's own decay does.

    It runs inside `optimizer.step()`: after all-reduce, after `scaler.unscale_`, after clipping. With a
    GradScaler call `scaler.unscale_(optimizer)` first where the optimizer unscales by itself (`fused=True`).
    Give the factors weight decay 0: `parameter_groups` does. Raises ValueError for a negative strength.

    >>> model = lr.FactorizedLinear(16, 32, rank=4)
    >>> groups = lr.parameter_groups(model, decay="frobenius", decay_strength=1e-3, decay_norms=False)
    >>> optimizer = torch.optim.SGD(groups, lr=0.1)
    >>> handle = lr.FrobeniusDecay(model, 1e-3).attach(optimizer)
    >>> model(torch.ones(2, 16)).sum().backward()
    >>> optimizer.step()  # the factors' gradients now have that of 1e-3 |left right|_F^2 / 2 in them
    """

    def __init__(
        self, model: nn.Module, strength: float, *, linear: bool = True, qk: bool | None = None, ov: bool | None = None
    ):
        check_module(model)
        if not isinstance(linear, bool):
            raise TypeError(f"`linear` must be True or False, got {linear!r}. Choose one of them.")
        if not isinstance(strength, Real) or not 0 <= strength < float("inf"):
            raise ValueError(
                f"`strength` must be a number >= 0, got {strength!r}. Use 0 for none; 1e-4 is a common weight decay."
            )
        self.modules: list[Factorized] = [m for m in model.modules() if linear and isinstance(m, Factorized)]
        self.heads: list[HeadDecay] = head_decays(model, qk, ov)
        self.strength: float = float(strength)

    def attach(self, optimizer: torch.optim.Optimizer) -> RemovableHandle:
        """Hooks into `optimizer.step`; `.remove()` of what comes back takes it out again."""
        return optimizer.register_step_pre_hook(self._before_step)

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if getattr(optimizer, "grad_scale", None) is not None:
            raise ValueError(
                "`optimizer` must get unscaled gradients before Frobenius decay, got scaled ones."
                " Call `scaler.unscale_(optimizer)` before `scaler.step(optimizer)`."
            )
        if not self.strength:
            return
        if isinstance(optimizer, Lamb):
            for module in self.modules:
                for factor, gradient in zip(module.factor_parameters(), module.penalty_gradients(), strict=True):
                    if factor.requires_grad and factor.grad is not None:
                        optimizer.add_decay(factor, self.strength * gradient)
            for decay in self.heads:
                for stack, gradient in decay.gradients():
                    if stack.weight.requires_grad and stack.weight.grad is not None:
                        whole = torch.zeros_like(stack.weight)
                        stack.add_(whole, gradient, self.strength)
                        optimizer.add_decay(stack.weight, whole)
            return
        if not _is_decoupled(optimizer):
            add_frobenius_decay(self.modules, self.strength)
            for decay in self.heads:
                for stack, gradient in decay.gradients():
                    if stack.weight.requires_grad and stack.weight.grad is not None:
                        stack.add_(stack.weight.grad, gradient, self.strength)
            return
        rates = {id(p): float(group["lr"]) for group in optimizer.param_groups for p in group["params"]}
        for module in self.modules:
            # A factor that the optimizer does not hold (a frozen one) has no rate and does not move.
            amounts = [self.strength * rates.get(id(factor), 0.0) for factor in module.factor_parameters()]
            if any(amounts):
                shrink_by_frobenius_decay(module, amounts)
        with torch.no_grad():
            for decay in self.heads:
                for stack, gradient in list(decay.gradients()):  # all of them before the first weight moves
                    if stack.weight.requires_grad and stack.weight.grad is not None:
                        stack.add_(stack.weight, gradient, -self.strength * rates.get(id(stack.weight), 0.0))


def _is_decoupled(optimizer: torch.optim.Optimizer) -> bool:
    # torch >= 2.7 makes AdamW an Adam with this entry; older versions have the class only.
    return isinstance(optimizer, torch.optim.AdamW) or optimizer.defaults.get("decoupled_weight_decay", False)
