"""How a run decays the products of a network's heads."""

from torch import nn

from lrexplore.models.language.separate_attention import PRODUCTS, attentions
from lrexplore.nn.attention import heads_of
from lrexplore.optim.head_decay import HeadDecay
from lrexplore.recipes.config import Config


def head_switches(model: nn.Module, config: Config) -> dict[str, bool | None]:
    """Whether "qk" and "ov" have Frobenius decay in this run; None, only if factorized, in other people's networks."""
    decays = {"qk": config.qk_decay, "ov": config.ov_decay}
    return {product: decays[product] == "frobenius" if attentions(model) else None for product in PRODUCTS}


def head_weights(model: nn.Module, config: Config, *decays: str) -> list[nn.Parameter]:
    """Of every attention of ours the weights of the products that have one of these decays in this run."""
    chosen = {"qk": config.qk_decay in decays, "ov": config.ov_decay in decays}
    weights = []
    for module in attentions(model).values():
        attention = heads_of(module)
        assert attention is not None  # its class is known
        weights += HeadDecay(attention, **chosen).weights()
    return weights
