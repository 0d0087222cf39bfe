"""Made-up inputs to probe a network with where a person gives none: noise with the spectrum of photographs."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lrexplore.calibration.beliefs import COLORS
from lrexplore.network.layers import Layer

_SEED = 0


def noise_for(model: nn.Module, layers: Iterable[Layer], count: int) -> Tensor | None:
    """`count` inputs of mean 0 and variance 1 that the model should take; None where its inputs' shape is unknown.

    Images have the power spectrum 1 / f^2 of photographs, and colors that correlate by .9; vectors are white. Nothing
    is fitted to them: they only tell how far the output moves when a layer is cut.
    """
    first = next((layer for layer in layers if layer.kind in ("linear", "conv")), None)
    if first is None or first.calls is None or not first.calls:
        return None
    generator = torch.Generator().manual_seed(_SEED)
    like = model.get_parameter(f"{first.name}.weight").detach()
    channels = first.groups * first.weight_shape[1]
    if first.kind == "linear":
        return torch.randn(count, channels, generator=generator).to(like)
    size = first.calls[0].input_size
    rows, columns = (torch.fft.fftfreq(length) for length in size)
    frequency = (rows[:, None].square() + columns.square()).sqrt().clamp_min(1 / max(size))
    white = torch.fft.fft2(torch.randn(count, channels, *size, generator=generator))
    noise = torch.fft.ifft2(white / frequency).real
    noise = (1 - COLORS) ** 0.5 * noise + COLORS**0.5 * channels**0.5 * noise.mean(1, keepdim=True)
    return ((noise - noise.mean()) / noise.std()).to(like)
