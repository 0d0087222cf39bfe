"""LAMB (You et al. 2020, arXiv:1904.00962): Adam whose step is scaled to each weight's norm, for large batches."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_LARGEST = 10.0


class Lamb(torch.optim.Optimizer):
    """LAMB. A weight moves by lr |w| / |u| against u = Adam's step + weight_decay w; the norm counts up to 10.

    Vectors (biases, gains) take Adam's step as it is. `add_decay` puts something in the place of weight_decay w, for
    one step: Frobenius decay on all factors makes it FLAMBe, as Khodak et al. 2021 (arXiv:2105.01029) call it (their
    code is not published; here the penalty's gradient stands inside u, as LAMB's own decay does).

    >>> layer = torch.nn.Linear(8, 8)
    >>> optimizer = Lamb(layer.parameters(), lr=0.01, weight_decay=0.01)
    >>> layer(torch.ones(1, 8)).sum().backward()
    >>> optimizer.step()
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ):
        for name, value, fits in (
            ("lr", lr, lr >= 0),
            ("betas", betas, all(0 <= beta < 1 for beta in betas)),
            ("eps", eps, eps > 0),
            ("weight_decay", weight_decay, weight_decay >= 0),
        ):
            if not fits:
                rule = {"betas": "two numbers in [0, 1)", "eps": "positive"}.get(name, "0 or more")
                raise ValueError(f"`{name}` must be {rule}, got {value!r}. Leave it out for the usual one.")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self._decays: dict[Tensor, Tensor] = {}

    def add_decay(self, parameter: Tensor, gradient: Tensor) -> None:
        """Adds the gradient of a penalty to the next step's u for this parameter."""
        before = self._decays.get(parameter)
        self._decays[parameter] = gradient if before is None else before + gradient

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        self._decays = {}
        return loss

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        count = float(state["step"])
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.lerp_(parameter.grad, 1 - beta1)
        square.mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
        update = (mean / (1 - beta1**count)) / ((square / (1 - beta2**count)).sqrt() + group["eps"])
        update.add_(parameter, alpha=group["weight_decay"])
        if (decay := self._decays.get(parameter)) is not None:
            update.add_(decay.to(update.dtype))
        if parameter.ndim < 2:
            parameter.sub_(update, alpha=group["lr"])
            return
        norm, length = parameter.norm(), update.norm()
        ratio = torch.where((norm > 0) & (length > 0), norm.clamp_max(_LARGEST) / length, 1.0)
        parameter.sub_(update.mul_(ratio), alpha=group["lr"])
