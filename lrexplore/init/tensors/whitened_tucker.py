"""Tucker-2 for real inputs: the best fit of the layer's outputs that HOOI finds, not of its kernel.

The second moment of a patch is approximated by B (x) A, B the moment of the input channels and A the correlations of
the taps. With D what each neuron's error counts after what follows, HOOI runs on D K x_c B^1/2 x_taps A^1/2 and the
factors are mapped back; the bias moves by (W - Y) E x.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lrexplore.init.problem import Problem
from lrexplore.init.real.problem import RealProblem
from lrexplore.linalg.inputs import LayerInputs
from lrexplore.linalg.tensors import TuckerFactors


def whitened_tucker(
    problem: Problem, kernel: Tensor, ranks: Sequence[int], calibration: LayerInputs | None
) -> TuckerFactors:
    """Factors with their bias correction; on the held-out inputs never worse than "spectral", as `note` says."""
    if not isinstance(calibration, LayerInputs):
        raise ValueError(
            f"`calibration` must be given for the initializer 'whitened', got {calibration!r}. Pass "
            "`lr.calibrate(model, loader)[name]`, or use 'rescaled', which needs no inputs."
        )
    calibration.check_shape(kernel.shape)
    real = RealProblem(problem, calibration)
    _, c_in, k_h, k_w = kernel.shape
    moment = real.moment(centred=True)
    blocks = moment.matrix.view(c_in, k_h * k_w, c_in, k_h * k_w)
    channels = blocks.diagonal(dim1=1, dim2=3).mean(-1)
    taps = torch.einsum("cadb,cd->ab", blocks, channels) / channels.square().sum()
    (channel_root, channel_inverse), (tap_root, tap_inverse) = _roots(channels), _roots(taps)
    weight = real.sensitivity
    seen = torch.einsum("o,oca,cd,ab->odb", weight, kernel.double().flatten(2), channel_root, tap_root)
    decomposed = TuckerFactors.decompose(seen.reshape(kernel.shape), ranks)
    left, core, right = decomposed.tensors
    core = (core.flatten(2) @ tap_inverse).reshape(core.shape)
    factors = TuckerFactors(left / weight[:, None], core, right @ channel_inverse).equalized()
    product = factors.product().flatten(1)
    bias = (real.neurons - product) @ real.mean
    factors = replace(factors, bias=bias, note=moment.note)
    plain = TuckerFactors.decompose(kernel, ranks)
    own, other = _error(real, product, bias), _error(real, plain.product().flatten(1), None)
    if own <= other:
        return factors
    said = f"spectral taken: {other:.3g} on held-out inputs against {own:.3g}"
    return replace(plain, note=", ".join(part for part in (said, moment.note) if part))


def _roots(moment: Tensor) -> tuple[Tensor, Tensor]:
    """The root of a positive matrix and its inverse; eigenvalues below 1e-9 of the largest are raised to that."""
    values, vectors = torch.linalg.eigh(moment)
    roots = values.clamp_min(1e-9 * float(values[-1])).sqrt()
    return (vectors * roots) @ vectors.mT, (vectors / roots) @ vectors.mT


def _error(real: RealProblem, product: Tensor, bias: Tensor | None) -> float:
    """Relative function error of the kernel (neurons, n) on the held-out vectors."""
    z = real.held_out @ product.to(real.held_out.dtype).mT
    return real.relative_loss(z if bias is None else z + bias.to(z.dtype))
