"""Inputs to probe a network with: a person's own that nothing was fitted to, and noise like photographs."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lrexplore.calibration import Calibration
from lrexplore.calibration.beliefs import COLORS
from lrexplore.calibration.parts import Parts
from lrexplore.network.batches import Item
from lrexplore.network.layers import Layer
from lrexplore.ranks.budget_choices import SENSITIVITY

_SEED = 0
NUM_PROBES = 16
TO_NOISE = "sensitivity to noise"


@dataclass(frozen=True)
class Probes:
    """Batches to measure sensitivities on, and what these are then called."""

    batches: list
    weighting: str

    @classmethod
    def of(
        cls, model: nn.Module, layers: Iterable[Layer], items: Iterable[Item], calibration: Calibration | None
    ) -> "Probes":
        """Of `items` those held out from fitting, of as many groups as there are: a layer that was fitted to an input
        does not move it. Of a single group all. Where `calibration` has inputs that batch norms imply, noise too,
        which few inputs are not enough without.
        """
        parts = Parts(items)
        batches = parts.spread_out(NUM_PROBES) or parts.fit
        implied = calibration is not None and (
            calibration.is_implied or any(entry.implied_share for entry in calibration.values())
        )
        takes_noise = implied and all(isinstance(batch, Tensor) for batch in batches)
        noise = noise_for(model, layers, NUM_PROBES) if takes_noise else None
        if noise is None:
            return cls(batches, SENSITIVITY)
        return cls([*batches, noise], f"{SENSITIVITY} (inputs and noise)" if batches else TO_NOISE)


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
