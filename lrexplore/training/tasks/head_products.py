"""The products of a network's heads that a run decays in one way."""

from torch import nn

from lrexplore.models.language.separate_attention import PRODUCTS, attentions
from lrexplore.optim import HeadProduct
from lrexplore.recipes.config import Config


def head_products(model: nn.Module, config: Config, decay: str) -> list[HeadProduct]:
    """Of every attention the products "qk" and "ov" whose decay in this run is `decay`; none in another network."""
    decays = {"qk": config.qk_decay, "ov": config.ov_decay}
    chosen = [product for product in PRODUCTS if decays[product] == decay]
    return [
        HeadProduct(product, *attention.parameters_of(product), attention.num_heads)
        for attention in attentions(model).values()
        for product in chosen
    ]
