"""The network of a run: drawn, factorized, and named by what was done."""

import math

import torch
from torch import nn

from lrexplore.models.catalogue import network
from lrexplore.nn import FACTORIZED, factorize
from lrexplore.optim import frobenius_penalty
from lrexplore.ranks import RankPlan
from lrexplore.train.config import Config
from lrexplore.train.ranks import chosen_ranks


def build_model(config: Config, num_classes: int, plan: RankPlan | None = None) -> nn.Module:
    """The network in training mode on the CPU; it depends on the seed and the choices, on nothing else.

    `plan`: what the file `config.plan` says, or said when the run began.

    The unfactorized network is drawn first, so that every initializer and rank starts from the same weights.
    """
    torch.manual_seed(config.seed)
    model = network(config.model, num_classes)
    if config.draw == "truncated-normal":
        draw_truncated_normal(model)
    ranks, scheme = chosen_ranks(model, config, plan)
    if not ranks:
        if config.factorized:
            raise ValueError(
                f"`rank_scale` must leave a layer of {config.model} that saves parameters, got a choice at which"
                " none does. Choose a smaller one."
            )
        return model
    generator = torch.Generator().manual_seed(config.seed)
    options = {"ranks": ranks, "scheme": scheme, "generator": generator}
    if config.initializer != "spectral-matched":
        return factorize(model, initializer=config.initializer, **options).train()
    spectral = factorize(model, initializer="spectral", **options)
    match_norm(spectral, factorize(model, initializer="function", **options))
    return spectral.train()


@torch.no_grad()
def match_norm(model: nn.Module, reference: nn.Module) -> None:
    """Multiplies all factors by one number, so that the products together have the reference's norm."""
    squares = [
        sum(
            float(frobenius_penalty(module)) for module in network.modules() if isinstance(module, FACTORIZED)
        )
        for network in (model, reference)
    ]
    scale = math.sqrt(squares[1] / squares[0])
    for module in model.modules():
        if isinstance(module, FACTORIZED):
            module.left.mul_(math.sqrt(scale))
            module.right.mul_(math.sqrt(scale))


@torch.no_grad()
def draw_truncated_normal(model: nn.Module) -> None:
    """Draws every convolution and linear layer from N(0, 1 / fan_in) cut at two standard deviations."""
    # A normal cut at two standard deviations has .8796 of its standard deviation.
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            std = math.sqrt(1 / module.weight[0].numel()) / 0.87962566103423978
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
