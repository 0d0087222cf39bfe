"""Recipes by name: the choices of published work, as defaults that any argument overrides."""

from typing import Any

from lrexplore.recipes.config import Config

_FNL = {
    "scheme": "spatial", "rank_rule": "fnl", "layers": "inner", "decay_strength": 1e-4, "decay_norms": True,
    "lr": 0.1, "momentum": 0.9, "schedule": "step", "milestones": (0.5, 0.75), "step_factor": 0.1,
    "warmup_epochs": 0.0, "epochs": 200.0, "batch_size": 128,
}  # fmt: skip
_NLI = {
    "scheme": "spatial", "layers": "convolutions", "draw": "truncated-normal", "decay_strength": 1e-4,
    "lr": 1.6, "momentum": 0.9, "schedule": "cosine", "warmup_epochs": 1560 / 312, "epochs": None, "steps": 62_000,
    "batch_size": 4096,
}  # fmt: skip

RECIPES: dict[str, dict[str, Any]] = {
    "short": {},
    "fnl": _FNL,
    "fnl-deep": {**_FNL, "warmup": "constant", "warmup_epochs": 1.0},
    "fnl-vgg": {**_FNL, "decay_strength": 2e-4},
    "nli": _NLI,
    "nli-frobenius": {**_NLI, "decay": "frobenius", "decay_strength": 0.3},
}
"""
short           four epochs with a cosine: what a CPU does with Fashion-MNIST while one waits
fnl             Khodak et al. 2021, arXiv:2105.01029, thin ResNets 20/32/44 and ResNet32x2: 200 epochs, batch 128,
                rate .1, a tenth at epochs 100 and 150, decay 1e-4 (batch norm too), ranks from out * k rows
fnl-deep        the same for depths 56 and 110: the first epoch at rate .01
fnl-vgg         the same for VGG-19: decay 2e-4
nli             Vodrahalli et al. 2022, arXiv:2202.00834, ResNet-50 and EfficientNets on ImageNet: batch 4096, 0 to
                1.6 in 1560 steps, then a cosine over 60440, decay 1e-4, every convolution, spatial
nli-frobenius   its tables with Frobenius decay .3, as printed. How that number is normalized is not said there
"""


def configure(recipe: str = "short", **choices: Any) -> Config:
    """The configuration of a recipe with these choices in the place of its own; None means the recipe's choice.

    `steps` replaces the recipe's `epochs`, and the other way round. Raises ValueError for an unknown recipe.
    """
    if not isinstance(recipe, str) or recipe not in RECIPES:
        raise ValueError(f"`recipe` must be one of {', '.join(RECIPES)}, got {recipe!r}. Choose one of them.")
    if choices.get("model") is None:
        raise ValueError("`model` must be a network, got None. Name one, such as 'resnet20'.")
    given = {key: value for key, value in choices.items() if value is not None}
    unknown = set(given) - set(Config.__dataclass_fields__)
    if unknown:
        raise ValueError(
            f"`{sorted(unknown)[0]}` must be a choice of a run, got one that is none. See lrexplore.recipes.Config."
        )
    lengths = {key for key in ("epochs", "steps") if key in given}
    base = dict(RECIPES[recipe])
    if len(lengths) == 1:
        base |= {"epochs": None, "steps": None}
    return Config(recipe=recipe, **{**base, **given})
