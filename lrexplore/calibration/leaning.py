"""Real inputs that lean, where they are few, on what the network's batch norms imply without any."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lrexplore.calibration.calibration import Calibration
from lrexplore.calibration.implied import implied_inputs, implies_inputs
from lrexplore.linalg.inputs import WHITE, LayerInputs

_SURE = 1e-4
"""Moments whose expected squared error is this part of their square lean on nothing."""


def leaning(
    model: nn.Module,
    calibration: Calibration,
    *,
    example_input: Any = None,
    progress: Callable[[int, int, str], None] | None = None,
    implied: Callable[[], Calibration] | None = None,
) -> Calibration:
    """The calibration with a share of the inputs that `implied_inputs` tells in every layer; itself where none are.

    A mixture of both kinds of inputs, so that moments, samples and what is judged by agree. The share V / |C - T|_F^2
    has the least expected distance of the covariance from the truth, |(1 - share) C + share T - truth|_F^2, which is
    (1 - share)^2 V + share^2 |T - truth|^2: C is that of the inputs, V its expected squared error as groups left out
    tell it, T the implied one, and E|C - T|^2 = V + |T - truth|^2 (Ledoit & Wolf 2004, with a target of our own).
    `implied()` gives what `implied_inputs` says of the whole model to whoever keeps it; it is asked only if needed.
    """
    unsure = [name for name, entry in calibration.items() if not _is_sure(entry)]
    if not unsure or not implies_inputs(model):
        return calibration
    if implied is None:
        target = implied_inputs(model, layers=unsure, example_input=example_input, progress=progress)
    else:
        target = implied()
        unsure = [name for name in unsure if name in target]
    entries = {name: calibration.entries(name) for name in calibration}
    for name in unsure:
        both = zip(entries[name], target.entries(name), strict=True)
        entries[name] = tuple(_mixed(own, other) for own, other in both)
    return Calibration(entries, calibration.num_inputs, calibration.heads, calibration.first_input)


def _is_sure(entry: LayerInputs) -> bool:
    return entry.sampling_variance <= _SURE * entry.energy


def _mixed(own: LayerInputs, target: LayerInputs) -> LayerInputs:
    if target.source == WHITE:
        return own
    distance = float((own.covariance() - target.covariance()).square().sum())
    share = min(1.0, own.sampling_variance / distance) if distance > 0 else 0.0

    def mean_of(name: str) -> Tensor:
        mine, other = getattr(own, name), getattr(target, name)
        return (1 - share) * mine + share * other if share < 1 else other.clone()

    between = share * (1 - share) * (own.output_mean - target.output_mean).square()
    return replace(
        own,
        mean=mean_of("mean"),
        second_moment=mean_of("second_moment"),
        samples=_drawn(own.samples, target.samples, share),
        held_out=_drawn(own.held_out, target.held_out, share),
        output_mean=mean_of("output_mean"),
        output_variance=mean_of("output_variance") + between,
        active=mean_of("active"),
        implied_share=share,
    )


def _drawn(own: Tensor, target: Tensor, share: float) -> Tensor:
    """As many of both as stand in the shares 1 - share and share, at most as many as there are of the more."""
    most = max(len(own), len(target))
    total = min(most, round(len(own) / (1 - share))) if share < 1 else len(target)
    count = min(len(target), round(share * total))
    return torch.cat([own[: total - count], target[:count].to(own)])
