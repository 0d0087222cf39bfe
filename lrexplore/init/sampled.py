"""Low-rank function approximation by Adam on sampled Gaussian inputs: the published recipe, as a reference."""

from collections.abc import Callable

import torch
from torch import Tensor

from lrexplore.dual import find_activation
from lrexplore.init.independent import independent
from lrexplore.init.problem import Problem
from lrexplore.init.spectral import spectral
from lrexplore.linalg import Factors


def sampled(
    problem: Problem,
    rank: int,
    *,
    generator: torch.Generator | None = None,
    warm_start: bool = True,
    num_inputs: int = 1000,
    batch_size: int = 512,
    steps_per_epoch: int = 128,
    num_epochs: int = 6,
    lr: float = 5e-3,
    fresh_inputs: bool = False,
    decay_lr: bool = False,
    on_epoch: Callable[[int, Factors], None] | None = None,
) -> Factors:
    """Factors fitted by Adam to the layer's output on `num_inputs` fixed Gaussian inputs; balanced at the end.

    The defaults are the published recipe "LFAI-WS-Adam" (Vodrahalli et al. 2022, arXiv:2202.00834);
    `warm_start=False` is "LFAI-Adam", from independent factors. It can end above `spectral`: that is what it does, and
    nothing falls back here. `fresh_inputs` draws every batch anew, `decay_lr` takes the rate to zero linearly.
    `on_epoch(epoch, factors)` is called after each epoch; an exception from it ends the fit. Batch norm normalizes
    with the statistics of the batch, as in training.
    """
    matrix = problem.matrix
    device, dtype = matrix.device, matrix.dtype
    if generator is None:
        generator = torch.Generator(device).manual_seed(0)
    start = (spectral if warm_start else independent)(problem, rank, generator=generator)

    def draw(count: int) -> Tensor:
        shape = (count, problem.rows, matrix.shape[1])
        return torch.randn(shape, generator=generator, device=device, dtype=dtype)

    num_steps = num_epochs * steps_per_epoch
    with torch.inference_mode(False), torch.enable_grad():  # a caller may be in inference mode
        left, right = (x.detach().clone().requires_grad_() for x in (start.left, start.right))
        optimizer = torch.optim.Adam([left, right], lr=lr)
        inputs = None if fresh_inputs else draw(num_inputs)
        for step in range(num_steps):
            if inputs is None:
                batch = draw(batch_size)
            else:
                picked = torch.randint(num_inputs, (batch_size,), generator=generator, device=device)
                batch = inputs[picked]
            if decay_lr:
                optimizer.param_groups[0]["lr"] = lr * (1 - step / num_steps)
            with torch.no_grad():
                wanted = _outputs(problem, batch, matrix)
            hidden = batch @ right.mT
            loss = (_respond(problem, _sum_rows(problem, hidden, left)) - wanted).square().sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if on_epoch is not None and (step + 1) % steps_per_epoch == 0:
                on_epoch((step + 1) // steps_per_epoch, Factors(left.detach().clone(), right.detach().clone()))
    return Factors(left.detach(), right.detach()).balanced()


def _sum_rows(problem: Problem, batch: Tensor, left: Tensor) -> Tensor:
    """Pre-activations (batch, neurons) of inputs (batch, rows, k) under `left` (m, k)."""
    weights = left.view(-1, problem.rows, left.shape[1])
    return batch.flatten(1) @ weights.flatten(1).mT


def _outputs(problem: Problem, batch: Tensor, matrix: Tensor) -> Tensor:
    return _respond(problem, _sum_rows(problem, batch, matrix))


def _respond(problem: Problem, z: Tensor) -> Tensor:
    if problem.batch_norm is not None:
        # Clones: autograd refuses tensors made in inference mode.
        gamma, beta = (x.to(z).clone() for x in problem.batch_norm)
        z = torch.nn.functional.batch_norm(z, None, None, gamma, beta, training=True)
    return find_activation(problem.activation).function(z)
