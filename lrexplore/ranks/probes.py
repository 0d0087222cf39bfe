"""Inputs to probe a network with: a person's own that nothing was fitted to, and noise like photographs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lrexplore.calibration import Calibration
from lrexplore.calibration.beliefs import COLORS
from lrexplore.calibration.parts import Parts
from lrexplore.network.batches import Item, batch_size
from lrexplore.network.layers import Layer
from lrexplore.ranks.budget_choices import SENSITIVITY

_SEED = 0
NUM_PROBES, NOISE_GROUPS, FEWEST_GROUPS = 16, 64, 16
TO_NOISE = "sensitivity to noise"


@dataclass(frozen=True)
class Probes:
    """What sensitivities are measured on: batches of `own` inputs, `noise` or None, and the `share` that own ones have.

    Layers are weighed by each kind for itself, and the weights mixed: what one photograph moves says little of others,
    and noise says something of all.
    """

    own: list[Any]
    noise: Tensor | None
    share: float

    @classmethod
    def of(
        cls,
        model: nn.Module,
        layers: Iterable[Layer],
        items: Iterable[Item],
        calibration: Calibration | None,
        *,
        fits: bool = True,
    ) -> "Probes":
        """Of `items` some of as many groups as there are; where something `fits` to them those that are held out: a
        layer that was fitted to an input does not move it. Of a single group all. Noise where `calibration` has inputs
        that batch norms imply; it counts as much as 64 groups, and of fewer than 16 groups alone: what few move sends
        ranks where others lose (5 held-out photographs, EfficientNet-Lite2: a quarter more lost on unseen ones).
        """
        parts = Parts(items, fits=fits)
        own = parts.spread_out(NUM_PROBES) or parts.fit
        implied = calibration is not None and (
            calibration.is_implied or any(entry.implied_share for entry in calibration.values())
        )
        takes_noise = implied and all(isinstance(batch, Tensor) for batch in own)
        noise = noise_for(model, layers, NUM_PROBES) if takes_noise else None
        if noise is None:
            return cls(own, None, 1.0)
        num_groups = min(len(set(parts.judged_groups)), NUM_PROBES)
        if num_groups < FEWEST_GROUPS:
            return cls([], noise, 0.0)
        return cls(own, noise, num_groups / (num_groups + NOISE_GROUPS))

    @property
    def weighting(self) -> str:
        """What sensitivities measured so are called."""
        if self.noise is None:
            return SENSITIVITY
        return f"{SENSITIVITY} (inputs and noise)" if self.own else TO_NOISE

    @property
    def said(self) -> str:
        """What they are, in words."""
        count = sum(map(batch_size, self.own))
        parts = [f"{count} inputs"] if count else []
        return " and ".join(parts + ([f"{NUM_PROBES} of noise like photographs"] if self.noise is not None else []))

    def weights(self, measure: Callable[[list[Any]], dict[str, float]]) -> dict[str, float]:
        """The weights of layers, of what `measure` finds on batches; {} where there is nothing to measure on.

        Own inputs set the scale, if there are any.
        """
        measured = [measure(batches) for batches in (self.own, [] if self.noise is None else [self.noise]) if batches]
        if len(measured) < 2:
            return measured[0] if measured else {}
        own, noise = measured
        totals = sum(own.values()), sum(noise.values())
        if not all(totals):
            return own if totals[0] else noise
        scaled = {name: value * totals[0] / totals[1] for name, value in noise.items()}
        return {name: self.share * own[name] + (1 - self.share) * scaled[name] for name in own}


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
