"""One call for any initializer."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lrexplore.dual import BatchNorm
from lrexplore.init.initializers import find_initializer
from lrexplore.init.problem import Problem, check_generator
from lrexplore.init.tensors import initialize_tensor
from lrexplore.linalg import check_finite, check_rank
from lrexplore.linalg.inputs import LayerInputs
from lrexplore.linalg.tensors import MATRIX, check_form


def initialize(
    weight: Tensor,
    rank: Any,  # an int; of a form of several ranks all of them
    *,
    initializer: str | Callable | None = None,
    form: str = MATRIX,
    scheme: str = "channel",
    shape: Sequence[Sequence[int]] | None = None,
    activation: str = "relu",
    batch_norm: BatchNorm | None = None,
    calibration: LayerInputs | None = None,
    generator: torch.Generator | None = None,
    **options: Any,
) -> Any:
    """Balanced `Factors`, `left` (m, r) and `right` (r, n), for a weight, in its dtype and on its device.

    `initializer` is a name, or a function as `lr.initializer` takes it; "function" where none is said.
    `weight` is a matrix (m, n) or one ungrouped kernel (c_out, c_in, k_h, k_w), matricized by `scheme`.
    `activation` and `batch_norm` (gamma, beta) say what follows the layer; inputs are taken as N(0, I). Those of
    `REAL_INPUTS` take the layer's real inputs instead, its entry `calibration[name]` of `lr.calibrate`, and give
    `CorrectedFactors`, whose `bias` is to be added to the layer's output; the others leave `calibration` aside.
    Deterministic under `generator` (and without one). `options` go to the initializer.

    `form` "tucker", "tt" or "cp": the kernel as a product of more factors, with `ranks` in the place of `rank`; `shape`
    numbers the rows and columns of a matrix for "tt" (`lrexplore.init.tensors`). Their `.product()` is the kernel.
    Raises ValueError for an unknown name, a rank outside 1..min(m, n) or entries that are not finite.

    >>> kernel = torch.randn(8, 4, 3, 3)
    >>> factors = lr.initialize(kernel, rank=2, scheme="spatial", activation="relu6")
    >>> factors.left.shape, factors.right.shape
    (torch.Size([24, 2]), torch.Size([2, 12]))
    >>> tucker = lr.initialize(kernel, (2, 4), form="tucker", initializer="spectral")
    >>> tucker.core.shape, tucker.product().shape
    (torch.Size([4, 2, 3, 3]), torch.Size([8, 4, 3, 3]))
    """
    if check_form(form) != MATRIX:
        if scheme != "channel" or options:
            raise TypeError(
                f"`scheme` and other options must be left out for the form {form}, got {[scheme, *options]}. Drop them."
            )
        return initialize_tensor(
            weight, rank, form=form, initializer=initializer, shape=shape, activation=activation,
            batch_norm=batch_norm, calibration=calibration, generator=generator,
        )  # fmt: skip
    if shape is not None:
        raise ValueError(f"`shape` must be left out for the form matrix, got {shape!r}. Use form='tt', or drop it.")
    initializer = "function" if initializer is None else initializer
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
