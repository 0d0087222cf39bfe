"""What of a network moves, and how fast: layers that are frozen, and layers with a rate of their own, by name."""

from torch import nn

from lrexplore.recipes.by_layer import is_under, patterns, rates


def freeze(model: nn.Module, names: str | None) -> list[nn.Module]:
    """The modules of those names, whose parameters get no gradients from here on. Keep them in evaluation mode, so
    that the statistics of their batch norms stay too.

    Raises ValueError for a name that no parameter lies under, and where nothing is left to train.
    """
    frozen = {}
    for pattern in patterns(names):
        frozen |= {module: None for module in _named(model, pattern, "freeze")}
    for module in frozen:
        module.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"`freeze` must leave a layer to train, got {names!r}, which freezes all. Name fewer layers.")
    return list(frozen)


def with_rates(groups: list[dict], model: nn.Module, shares: str | None) -> list[dict]:
    """The optimizer's groups, split by the share of the rate that `layer_lr` gives their layers (key `lr_share`).

    Raises ValueError for a name that no parameter lies under.
    """
    share_of = {}
    for pattern, share in rates(shares):
        for module in _named(model, pattern, "layer_lr"):
            share_of |= {id(parameter): share for parameter in module.parameters()}
    split = []
    for group in groups:
        by_share: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            by_share.setdefault(share_of.get(id(parameter), 1.0), []).append(parameter)
        split += [{**group, "params": params, "lr_share": share} for share, params in by_share.items()]
    return split


def _named(model: nn.Module, pattern: str, choice: str) -> list[nn.Module]:
    modules = [
        module for name, module in model.named_modules()
        if name and is_under(name, pattern) and any(True for _ in module.parameters())
    ]  # fmt: skip
    if not modules:
        names = [name for name, _ in model.named_children()]
        raise ValueError(
            f"`{choice}` must name layers of the network, got {pattern!r}, under which there is none. At the top it has"
            f" {', '.join(names)}."
        )
    return modules
