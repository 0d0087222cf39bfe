"""The network of a run: drawn, factorized, and named by what was done; and as it was trained, from its folder."""

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from lrexplore.linalg.tensors import MATRIX
from lrexplore.network import collapse, replace_layers
from lrexplore.network.files import with_layers
from lrexplore.network.forms import overcomplete, replace_by_tensors, replace_each
from lrexplore.nn import FACTORIZED
from lrexplore.optim import frobenius_penalty
from lrexplore.ranks import RankPlan
from lrexplore.recipes.config import SWITCHES, Config
from lrexplore.recipes.references import is_reference, resolve
from lrexplore.records.schema import read_description
from lrexplore.training.built import network_of
from lrexplore.training.chosen_ranks import candidates, chosen_ranks, load_plan, recorded_plan
from lrexplore.training.forms.first_masks import pruned
from lrexplore.training.forms.tensor_ranks import chosen_tensor_ranks
from lrexplore.training.saved_state import NAME, load_checkpoint


def build_model(config: Config, num_classes: int, plan: RankPlan | None = None) -> nn.Module:
    """The network in training mode on the CPU; it depends on the seed and the choices, on nothing else.

    `plan`: what the file `config.plan` says, or said when the run began.

    The unfactorized network is drawn first, so that every initializer and rank starts from the same weights.
    """
    torch.manual_seed(config.seed)
    model = network_of(config, num_classes)
    if config.draw == "truncated-normal":
        draw_truncated_normal(model)
    return cut(model, config, plan)


def cut(model: nn.Module, config: Config, plan: RankPlan | None = None) -> nn.Module:
    """A network with the ranks of a run, drawn or trained, in training mode; itself where the run has none."""
    if config.overcomplete is not None:
        return _wider(model, config)
    if config.rank_change in SWITCHES:
        return model
    if config.form != MATRIX:
        draws = torch.Generator().manual_seed(config.seed)
        tensor_ranks = chosen_tensor_ranks(model, config)
        made = replace_by_tensors(
            model, form=config.form, ranks=tensor_ranks, initializer=config.initializer, generator=draws
        )
        return made.train()
    ranks, scheme = chosen_ranks(model, config, plan)
    if not ranks:
        if config.factorized:
            raise ValueError(
                f"`rank_scale` must leave a layer of {config.model} that saves parameters, got a choice at which"
                " none does. Choose a smaller one."
            )
        return model
    generator = torch.Generator().manual_seed(config.seed)
    if any(isinstance(rank, tuple) for rank in ranks.values()):
        forms = {name: form for name, form in (plan or load_plan(Path(config.plan))).forms.items() if name in ranks}
        made = replace_each(
            model, ranks=ranks, forms=forms, scheme=scheme, initializer=_resolved(config), generator=generator
        )
        return made.train()
    options = {"ranks": ranks, "scheme": scheme, "generator": generator}
    if config.initializer != "spectral-matched":
        return replace_layers(model, initializer=_resolved(config), **options).train()
    spectral = replace_layers(model, initializer="spectral", **options)
    match_norm(spectral, replace_layers(model, initializer="function", **options))
    return spectral.train()


def _resolved(config: Config):
    """The initializer of a run: a name, or the function that its reference names."""
    return resolve(config.initializer, "initializer") if is_reference(config.initializer) else config.initializer


def _wider(model: nn.Module, config: Config) -> nn.Module:
    """The network with its layers as products wider than they are; at first it computes what it did."""
    names = [layer.name for layer in candidates(model, config.layers)]
    if not names:
        raise ValueError(
            f"`overcomplete` must find a layer of {config.model} that can be factorized, got none. Leave it out."
        )
    generator = torch.Generator().manual_seed(config.seed)
    kind = str(config.overcomplete)
    return overcomplete(model, kind, layers=names, scheme=config.scheme, generator=generator).train()


@torch.no_grad()
def match_norm(model: nn.Module, reference: nn.Module) -> None:
    """Multiplies all factors by one number, so that the products together have the reference's norm."""
    squares = [
        sum(float(frobenius_penalty(module)) for module in network.modules() if isinstance(module, FACTORIZED))
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


def trained_network(folder: str | Path) -> nn.Module:
    """The network of a run as its last checkpoint has it, on the CPU and in evaluation mode.

    A network of your own is built by its function, whose module must be there to import. Of a run with `ema` the
    averaged weights, which its evaluations used; of one with `overcomplete` ordinary layers.
    `factorization` says what was replaced.
    Raises FileNotFoundError for a folder that holds no run, or a run without weights (such as a thinned record).
    """
    folder = Path(folder).expanduser()
    if not (folder / "run.json").is_file():
        raise FileNotFoundError(
            f"`path` must be the folder of a run, got {folder} without a run.json. `lr.runs` lists those of a folder."
        )
    checkpoint = load_checkpoint(folder, torch.device("cpu"))
    if checkpoint is None:
        raise FileNotFoundError(
            f"`path` must be a run with its weights, got {folder} without a {NAME}: its first is not written yet, or"
            " only its records were kept. Train it again, or wait."
        )
    described = read_description(folder)
    config, plan = Config.of_record(described["config"]), recorded_plan(described)
    state = checkpoint["model"]
    if "average" in checkpoint:
        averaged = checkpoint["average"]
        state = {name.removeprefix("module."): value for name, value in averaged.items() if name != "n_averaged"}
    num_classes = described.get("num_classes") or len(list(state.values())[-1])  # else of the last layer's bias
    with torch.random.fork_rng(devices=[]):
        if "layers" in checkpoint:  # a run whose ranks change
            model = with_layers(network_of(config, num_classes), checkpoint["layers"])
        elif described.get("start"):
            model = with_layers(network_of(config, num_classes), described["start"]["layers"])
            if plan is not None:
                model.rank_plan = plan
        else:
            # The weights are to be replaced: they are drawn the quickest way.
            model = build_model(replace(config, initializer="independent"), num_classes, plan)
        model = pruned(model, config)
    model.load_state_dict(state)
    return (collapse(model) if config.overcomplete else model).eval()
