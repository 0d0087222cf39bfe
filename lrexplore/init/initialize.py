"""The initializers by name, and one call for any of them."""

import torch
from torch import Tensor

from lrexplore.dual import BatchNorm
from lrexplore.init.function_space import function
from lrexplore.init.independent import independent
from lrexplore.init.problem import Problem
from lrexplore.init.real.refined import refined
from lrexplore.init.real.whitened import whitened, whitened_centred, whitened_plain
from lrexplore.init.real.whitened_function import whitened_function
from lrexplore.init.rescaled import rescaled
from lrexplore.init.sampled import sampled
from lrexplore.init.spectral import spectral
from lrexplore.linalg import Factors, check_rank
from lrexplore.linalg.inputs import LayerInputs

INITIALIZERS = {
    "independent": independent,
    "spectral": spectral,
    "rescaled": rescaled,
    "function": function,
    "sampled": sampled,
}
"""Name -> initializer, for inputs x ~ N(0, I)."""

REAL_INPUTS = {
    "whitened": whitened,
    "whitened_plain": whitened_plain,
    "whitened_centred": whitened_centred,
    "whitened_function": whitened_function,
    "refined": refined,
}
"""Name -> initializer, for real inputs: these need the layer's `calibration`."""


def find_initializer(name: str):
    """The initializer of that name. Raises ValueError with the names there are."""
    known = INITIALIZERS | REAL_INPUTS
    if name not in known:
        raise ValueError(f"`initializer` must be one of {', '.join(known)}, got {name!r}. Choose one of them.")
    return known[name]


def initialize(
    weight: Tensor,
    rank: int,
    *,
    initializer: str = "function",
    scheme: str = "channel",
    activation: str = "relu",
    batch_norm: BatchNorm | None = None,
    calibration: LayerInputs | None = None,
    generator: torch.Generator | None = None,
    **options,
) -> Factors:
    """Balanced factors `left` (m, r), `right` (r, n) for a weight, in its dtype and on its device.

    `weight` is a matrix (m, n) or one ungrouped kernel (c_out, c_in, k_h, k_w), matricized by `scheme`.
    `activation` and `batch_norm` (gamma, beta) say what follows the layer; inputs are taken as N(0, I). Those of
    `REAL_INPUTS` take the layer's real inputs instead, its entry `calibration[name]` of `lr.calibrate`, and give
    `CorrectedFactors`, whose `bias` is to be added to the layer's output; the others leave `calibration` aside.
    Deterministic under `generator` (and without one). `options` go to the initializer.
    Raises ValueError for an unknown name, a rank outside 1..min(m, n) or entries that are not finite.
    """
    make = find_initializer(initializer)
    if initializer in REAL_INPUTS:
        options["calibration"] = required_inputs(calibration, initializer)
        calibration.check_shape(tuple(weight.shape))
    problem = Problem.of(weight, scheme, activation, batch_norm)
    rank = check_rank(rank, tuple(problem.matrix.shape))
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
