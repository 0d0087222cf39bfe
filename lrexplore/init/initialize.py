"""The initializers by name, and one call for any of them."""

import torch
from torch import Tensor

from lrexplore.dual import BatchNorm
from lrexplore.init.function_space import function
from lrexplore.init.independent import independent
from lrexplore.init.problem import Problem
from lrexplore.init.rescaled import rescaled
from lrexplore.init.sampled import sampled
from lrexplore.init.spectral import spectral
from lrexplore.linalg import Factors, check_rank

INITIALIZERS = {
    "independent": independent,
    "spectral": spectral,
    "rescaled": rescaled,
    "function": function,
    "sampled": sampled,
}


def find_initializer(name: str):
    """The initializer of that name. Raises ValueError with the names there are."""
    if name not in INITIALIZERS:
        raise ValueError(
            f"`initializer` must be one of {', '.join(INITIALIZERS)}, got {name!r}. Choose one of them."
        )
    return INITIALIZERS[name]


def initialize(
    weight: Tensor,
    rank: int,
    *,
    initializer: str = "function",
    scheme: str = "channel",
    activation: str = "relu",
    batch_norm: BatchNorm | None = None,
    generator: torch.Generator | None = None,
    **options,
) -> Factors:
    """Balanced factors `left` (m, r), `right` (r, n) for a weight, in its dtype and on its device.

    `weight` is a matrix (m, n) or one ungrouped kernel (c_out, c_in, k_h, k_w), matricized by `scheme`.
    `activation` and `batch_norm` (gamma, beta) say what follows the layer; inputs are taken as N(0, I).
    Deterministic under `generator` (and without one). `options` go to the initializer.
    Raises ValueError for an unknown name, a rank outside 1..min(m, n) or entries that are not finite.
    """
    make = find_initializer(initializer)
    problem = Problem.of(weight, scheme, activation, batch_norm)
    rank = check_rank(rank, tuple(problem.matrix.shape))
    if generator is None:
        generator = torch.Generator(weight.device).manual_seed(0)
    return make(problem, rank, generator=generator, **options).to(weight.dtype)
