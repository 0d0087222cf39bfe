"""Whitened factors, then fitted to the layer's outputs on sampled real inputs, after what follows the layer."""

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lrexplore.init.problem import Problem
from lrexplore.init.real.corrected import CorrectedFactors
from lrexplore.init.real.problem import RealProblem
from lrexplore.init.real.whitened import Whitening, no_worse
from lrexplore.linalg.inputs import LayerInputs

PATIENCE = 3


def refined(
    problem: Problem,
    rank: int,
    *,
    calibration: LayerInputs,
    generator: torch.Generator | None = None,
    max_rounds: int = 12,
    steps_a_round: int = 6,
    time_limit_s: float | None = None,
    on_round: Callable[[int, float], None] | None = None,
) -> CorrectedFactors:
    """Factors and bias correction fitted by L-BFGS to s(u) on the calibration's samples, from `whitened`.

    The loss is that of `input_error`. After every round of `steps_a_round` steps the held-out inputs are judged:
    the best state is kept, and the fit ends after three rounds without a better one, after `max_rounds`, or when
    `time_limit_s` is over. `on_round(round, error)` sees the held-out error; an exception from it ends the fit.
    Never worse on the held-out inputs than `whitened` or `spectral`. Fitted in coordinates in which the inputs are
    white, without which L-BFGS needs many times the steps.
    """
    real = RealProblem(problem, calibration)
    whitening = Whitening(real)
    start = no_worse(real, whitening.factors(rank), rank)
    if rank >= problem.max_rank or not len(calibration.samples):
        return start
    deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
    fit = _Fit(real, whitening, start)
    best, best_error, since = start, real.error(start), 0
    for number in range(1, max_rounds + 1):
        fit.advance(steps_a_round)
        now = fit.factors()
        error = real.error(now)
        if on_round:
            on_round(number, error)
        since += 1
        if error < best_error:
            since = since if error > 0.999 * best_error else 0
            best, best_error = now, error
        if since >= PATIENCE or (deadline is not None and time.monotonic() > deadline):
            break
    note = best.note if best is not start else ", ".join(filter(None, ("the fit found nothing better", start.note)))
    return replace(best.balanced(), note=note)


class _Fit:
    """L-BFGS on left, right and bias, in coordinates in which a row of the inputs is white."""

    def __init__(self, real: RealProblem, whitening: Whitening, start: CorrectedFactors):
        self._real, self._note = real, start.note
        values, basis = torch.linalg.eigh(whitening.row_moment)
        scales = values.clamp_min(1e-6 * float(values[-1])).sqrt()
        whiten, unwhiten = basis / scales, (basis * scales).mT
        # float32: the fit is early-stopped long before its rounding matters, at half the cost
        vectors = real.samples.double().view(len(real.samples), real.rows, -1) @ whiten
        self._vectors, self._whiten = vectors.float(), whiten
        self._scale, self._shift = real.inputs.scale.float(), real.inputs.shift.float()
        self._wanted = real.function(real.pre_activation(real.exact(real.samples))).float()
        self._energy = float(self._wanted.square().sum())
        start = start.balanced()
        bias = real.neurons.new_zeros(len(real.neurons)) if start.bias is None else start.bias
        right = start.right.double() @ unwhiten.mT
        level = float(right.square().sum().sqrt() / max(float(start.left.double().square().sum().sqrt()), 1e-30)) ** 0.5
        self._bias_level = float(real.inputs.output_variance.mean().sqrt()) or 1.0
        self._parts = [
            x.float().clone().requires_grad_()
            for x in (start.left.double() * level, right / level, bias / self._bias_level)
        ]

    def advance(self, num_steps: int) -> None:
        """Some more L-BFGS steps."""
        with torch.inference_mode(False), torch.enable_grad():
            optimizer = self.__dict__.setdefault(
                "_optimizer",
                torch.optim.LBFGS(self._parts, history_size=12, line_search_fn="strong_wolfe", tolerance_change=0),
            )
            optimizer.param_groups[0].update(max_iter=num_steps, max_eval=2 * num_steps)

            def closure() -> Tensor:
                optimizer.zero_grad()
                loss = self._loss()
                loss.backward()
                return loss

            optimizer.step(closure)

    def _loss(self) -> Tensor:
        left, right, bias = self._parts
        hidden = (self._vectors @ right.mT).flatten(1)
        z = hidden @ left.view(len(self._scale), -1).mT + bias * self._bias_level
        u = z * self._scale + self._shift
        return (self._real.function(u) - self._wanted).square().sum() / self._energy

    def factors(self) -> CorrectedFactors:
        """The present state in the layer's own coordinates."""
        left, right, bias = (x.detach().double() for x in self._parts)
        return CorrectedFactors(left, right @ self._whiten.mT, bias * self._bias_level, self._note)
