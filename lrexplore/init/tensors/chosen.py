"""One call for any form of a tensor and any of its initializers."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lrexplore.dual import BatchNorm
from lrexplore.init.problem import Problem, check_generator
from lrexplore.init.tensors.whitened_tucker import whitened_tucker
from lrexplore.linalg import check_finite, compare_rows
from lrexplore.linalg.factors import Factors
from lrexplore.linalg.inputs import LayerInputs
from lrexplore.linalg.tensors import TrainMatrix, TuckerFactors, tensor_form
from lrexplore.linalg.tensors.kernel_factors import ManyFactors, shared_deviations

Make = Callable[[Problem, ManyFactors], ManyFactors]


def _spectral(problem: Problem, fitted: ManyFactors) -> ManyFactors:
    """The best fit that the form's decomposition finds."""
    return fitted


def _rescaled(problem: Problem, fitted: ManyFactors) -> ManyFactors:
    """The fit with every output channel brought to the norm that loses least as a function: |w| h(rho) for ReLU.

    That is free in any form whose last factor has a row an output (Vodrahalli et al. 2022, arXiv:2202.00834). After
    batch norm the norm is immaterial, and a channel gets that of the channel it replaces. A channel that the fit gives
    as zeros stays so.
    """
    product = fitted.product().reshape(problem.matrix.shape)
    eye = torch.eye(len(product), dtype=product.dtype, device=product.device)
    rows = compare_rows(problem.matrix, Factors(eye, product))
    best = problem.response.best_norm(rows.rho.clamp(0, 1))
    return fitted.scaled_outputs(torch.where(rows.product > 0, best / rows.product, 0)).equalized()


TENSOR_INITIALIZERS: dict[str, Make | None] = {
    "independent": None,
    "spectral": _spectral,
    "rescaled": _rescaled,
    "whitened": None,
}
"""Name -> what makes of the best fit the factors; None where they are made in another way."""


def check_tensor_initializer(name: Any, form: str) -> str:
    """The name itself, when it is one of an initializer that the form has. Raises ValueError otherwise."""
    choices = [one for one in TENSOR_INITIALIZERS if one != "whitened" or form == TuckerFactors.form]
    if not isinstance(name, str) or name not in choices:
        raise ValueError(
            f"`initializer` must be one of {', '.join(choices)} for the form {form}, got {name!r}. Choose one of them."
        )
    return name


def initialize_tensor(
    weight: Tensor,
    ranks: int | Sequence[int],
    *,
    form: str,
    initializer: Any = None,
    shape: Sequence[Sequence[int]] | None = None,
    activation: str = "relu",
    batch_norm: BatchNorm | None = None,
    calibration: LayerInputs | None = None,
    generator: torch.Generator | None = None,
) -> ManyFactors:
    """The factors of a kernel (c_out, c_in, k_h, k_w) in a form, norm shared equally, in its dtype and on its device.

    `ranks`: (r_in, r_out) for "tucker", (r1, r2, r3) for "tt", one number for "cp". A matrix has the form "tt" alone,
    with `shape` ((m1, m2, ...), (n1, n2, ...)) and a rank less than there are sizes on a side. Initializers:
    "independent" (drawn, variance matched through the whole chain), "spectral" (the best fit), "rescaled" (the default
    for kernels: every output channel then brought to its best norm) and, for "tucker", "whitened" by `calibration`.
    Raises ValueError for weights that have no such form and for ranks that it has not.
    """
    check_finite(weight)
    check_generator(generator)
    is_matrix = weight.ndim == 2 and form == TrainMatrix.form and shape is not None
    kind: Any = TrainMatrix if is_matrix else tensor_form(form, weight.shape)
    if not is_matrix and shape is not None:
        raise ValueError(
            f"`shape` must be left out for a weight {tuple(weight.shape)} in the form {form}, got {shape!r}. Drop it."
        )
    name = check_tensor_initializer(initializer or ("spectral" if is_matrix else "rescaled"), form)
    if is_matrix and name in ("rescaled", "whitened"):
        raise ValueError(
            f"`initializer` must be independent or spectral for the tensor train of a matrix, none of whose cores is "
            f"per output, got {name!r}. Choose one of them."
        )
    sizes: Any = TrainMatrix.check_modes(weight.shape, shape) if is_matrix else tuple(weight.shape)
    checked: tuple[int, ...] = kind.check_ranks(sizes, ranks)
    if generator is None:
        generator = torch.Generator(weight.device).manual_seed(0)
    if name == "independent":
        variance = float(weight.double().square().mean())
        shapes = kind.shapes(sizes, checked)
        stds = shared_deviations(shapes, checked, variance)
        like: dict[str, Any] = {"device": weight.device, "dtype": torch.float32, "generator": generator}
        drawn = [std * torch.randn(size, **like) for size, std in zip(shapes, stds, strict=True)]
        return (TrainMatrix(tuple(drawn)) if is_matrix else kind(*drawn)).to(weight.dtype)
    if is_matrix:
        return TrainMatrix.decompose(weight, checked, sizes).to(weight.dtype)
    problem = Problem.of(weight, "channel", activation, batch_norm)
    kernel = problem.matrix.reshape(weight.shape)
    if name == "whitened":
        return whitened_tucker(problem, kernel, checked, calibration).to(weight.dtype)
    make = TENSOR_INITIALIZERS[name]
    assert make is not None
    return make(problem, kind.decompose(kernel, checked, generator=generator)).to(weight.dtype)
