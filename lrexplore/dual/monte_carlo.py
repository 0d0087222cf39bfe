"""Function error by drawing Gaussian inputs: no formula, an oracle for all of them."""

import torch
from torch import Tensor

from lrexplore.dual.activations import find_activation
from lrexplore.dual.response import BatchNorm
from lrexplore.linalg import Factors, matricize, rows_per_neuron, scheme_of


def sampled_function_error(
    weight: Tensor,
    factors: Factors,
    *,
    activation: str = "relu",
    batch_norm: BatchNorm | None = None,
    num_samples: int = 20_000,
    generator: torch.Generator | None = None,
) -> tuple[float, float]:
    """Function error estimated on `num_samples` inputs x ~ N(0, I), and its standard error.

    `weight` (m, n) or a kernel with one patch an input. Batch norm uses the statistics of these very samples.
    """
    scheme = scheme_of(weight.shape, factors)
    rows = rows_per_neuron(weight.shape, scheme)
    function = find_activation(activation).function
    outputs = []
    matrix = matricize(weight, scheme).double()
    x = torch.randn(num_samples, rows * matrix.shape[1], generator=generator, dtype=torch.float64)
    for rows_of in (matrix, factors.to(torch.float64).product()):
        z = x @ rows_of.reshape(-1, x.shape[1]).mT
        if batch_norm is not None:
            std = z.std(0, correction=0)
            z = (z - z.mean(0)) / torch.where(std > 0, std, 1) * batch_norm.gamma + batch_norm.beta
        outputs.append(function(z))
    lost = (outputs[0] - outputs[1]).square().sum(1)
    total = outputs[0].square().sum(1).mean()
    return float(lost.mean() / total), float(lost.std() / total / num_samples**0.5)
