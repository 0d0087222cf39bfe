"""One call for any initializer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lrexplore.dual import BatchNorm
from lrexplore.init.initializers import find_initializer
from lrexplore.init.problem import Problem, check_generator
from lrexplore.linalg import Factors, check_finite, check_rank
from lrexplore.linalg.inputs import LayerInputs


def initialize(
    weight: Tensor,
    rank: int,
    *,
    initializer: str | Callable = "function",
    scheme: str = "channel",
    activation: str = "relu",
    batch_norm: BatchNorm | None = None,
    calibration: LayerInputs | None = None,
    generator: torch.Generator | None = None,
    **options: Any,
) -> Factors:
    """Balanced factors `left` (m, r), `right` (r, n) for a weight, in its dtype and on its device.

    `initializer` is a name, or a function as `lr.initializer` takes it.
    `weight` is a matrix (m, n) or one ungrouped kernel (c_out, c_in, k_h, k_w), matricized by `scheme`.
    `activation` and `batch_norm` (gamma, beta) say what follows the layer; inputs are taken as N(0, I). Those of
    `REAL_INPUTS` take the layer's real inputs instead, its entry `calibration[name]` of `lr.calibrate`, and give
    `CorrectedFactors`, whose `bias` is to be added to the layer's output; the others leave `calibration` aside.
    Deterministic under `generator` (and without one). `options` go to the initializer.
    Raises ValueError for an unknown name, a rank outside 1..min(m, n) or entries that are not finite.

    >>> kernel = torch.randn(8, 4, 3, 3)
    >>> factors = lr.initialize(kernel, rank=2, scheme="spatial", activation="relu6")
    >>> factors.left.shape, factors.right.shape
    (torch.Size([24, 2]), torch.Size([2, 12]))
    """
    make = find_initializer(initializer)
    if make.is_real:
        options["calibration"] = calibration = required_inputs(calibration, make.name)
        calibration.check_shape(check_finite(weight).shape)
    check_generator(generator)
    problem = Problem.of(weight, scheme, activation, batch_norm)
    rank = check_rank(rank, (problem.matrix.shape[0], problem.matrix.shape[1]))
    if generator is None:
        generator = torch.Generator(weight.device).manual_seed(0)
    return make(problem, rank, generator=generator, **options).to(weight.dtype)


def required_inputs(calibration: LayerInputs | None, initializer: str) -> LayerInputs:
    """The `calibration` of one layer. Raises ValueError without it, TypeError for anything else in its place."""
    if calibration is None:
        raise ValueError(
            f"`calibration` must be given for the initializer {initializer!r}, got None. Pass "
            "`lr.calibrate(model, loader)[name]`, or use `function`, which needs no inputs."
        )
    if not isinstance(calibration, LayerInputs):
        raise TypeError(
            f"`calibration` must be the entry of one layer, got a {type(calibration).__name__}. Pass "
            "`calibration[name]`."
        )
    return calibration
