"""Recipes by name: the choices of published work, as defaults that any argument overrides."""

from typing import Any

from lrexplore.recipes.config import LANGUAGE_MODELS, TENSOR_STARTS, Config

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
_TRANSLATION = {
    "data": "numbers-and-dates", "vocabulary": 1000, "dropout": 0.1, "label_smoothing": 0.1, "decay_norms": False,
    "qk_initializer": "spectral", "ov_initializer": "spectral", "qk_decay": "frobenius", "ov_decay": "frobenius",
    "initializer": "spectral", "optimizer": "adamw", "lr": 2e-3, "decay_strength": 1e-2, "clip_norm": 1.0,
    "schedule": "inverse-sqrt", "warmup_epochs": 1.0, "epochs": 10.0, "batch_size": 4000, "checkpoint_steps": 200,
}  # fmt: skip
_MASKED = {
    **_TRANSLATION, "data": "docstrings", "vocabulary": 8000, "label_smoothing": 0.0, "lr": 5e-4, "schedule": "cosine",
    "warmup_epochs": 0.1, "epochs": 2.0, "batch_size": 8192, "micro_batch_size": 4096,
}  # fmt: skip
_WIDE = {
    **_FNL, "decay_strength": 5e-4, "milestones": (0.3, 0.6, 0.8), "step_factor": 0.2, "cutout": 16,
}  # fmt: skip
_FINETUNE = {
    "decay": "frobenius", "decay_strength": 1e-4, "lr": 0.01, "momentum": 0.9, "schedule": "cosine",
    "warmup_epochs": 0.1, "epochs": 1.0, "batch_size": 128,
}  # fmt: skip

RECIPES: dict[str, dict[str, Any]] = {
    "short": {},
    "finetune": _FINETUNE,
    "fnl": _FNL,
    "fnl-deep": {**_FNL, "warmup": "constant", "warmup_epochs": 1.0},
    "fnl-vgg": {**_FNL, "decay_strength": 2e-4},
    "fnl-wide": _WIDE,
    "nli": _NLI,
    "nli-frobenius": {**_NLI, "decay": "frobenius", "decay_strength": 0.3},
    "translation": _TRANSLATION,
    "masked-lm": _MASKED,
    "flambe": {**_MASKED, "optimizer": "lamb", "lr": 5e-3},
}
"""
short           four epochs with a cosine: what a CPU does with Fashion-MNIST while one waits
finetune        one epoch at a low rate, .01, with a cosine and Frobenius decay 1e-4: for `start`, after a cut
fnl             Khodak et al. 2021, arXiv:2105.01029, thin ResNets 20/32/44 and ResNet32x2: 200 epochs, batch 128,
                rate .1, a tenth at epochs 100 and 150, decay 1e-4 (batch norm too), ranks from out * k rows
fnl-deep        the same for depths 56 and 110: the first epoch at rate .01
fnl-vgg         the same for VGG-19: decay 2e-4
fnl-wide        the same for WRN-28-10: decay 5e-4, a fifth at epochs 60, 120 and 160, squares of 16 pixels cut out
nli             Vodrahalli et al. 2022, arXiv:2202.00834, ResNet-50 and EfficientNets on ImageNet: batch 4096, 0 to
                1.6 in 1560 steps, then a cosine over 60440, decay 1e-4, every convolution, spatial
nli-frobenius   its tables with Frobenius decay .3, as printed. How that number is normalized is not said there
translation     what the network `translation` trains by where no recipe is named: AdamW, rate 2e-3 after an epoch's
                warm-up, then falling as 1 / sqrt(step), batches of 4000 pieces, label smoothing .1, dropout .1; heads
                and factors start spectral and have Frobenius decay 1e-2
masked-lm       what the network `masked-lm` trains by where no recipe is named: AdamW, 5e-4, a cosine, 8192 pieces
flambe          the same with LAMB, 5e-3: LAMB with Frobenius decay on all factors is what Khodak et al. 2021 call
                FLAMBe. Its choices are ours; theirs are not published
"""


def configure(recipe: str = "short", **choices: Any) -> Config:
    """The configuration of a recipe with these choices in the place of its own; None means the recipe's choice.

    `steps` replaces the recipe's `epochs`, and the other way round. Networks for text have a recipe of their own in the
    place of "short". Raises ValueError for an unknown recipe.
    """
    if not isinstance(recipe, str) or recipe not in RECIPES:
        raise ValueError(f"`recipe` must be one of {', '.join(RECIPES)}, got {recipe!r}. Choose one of them.")
    if not isinstance(choices.get("model"), str) and not callable(choices.get("model")):
        got = "None" if choices.get("model") is None else f"a {type(choices['model']).__name__}"
        raise ValueError(f"`model` must be the name of a network, got {got}. Name one, such as 'resnet20'.")
    if recipe == "short" and choices["model"] in LANGUAGE_MODELS:
        recipe = choices["model"]
    given = {key: value for key, value in choices.items() if value is not None}
    unknown = set(given) - set(Config.__dataclass_fields__)
    if unknown:
        raise ValueError(
            f"`{sorted(unknown)[0]}` must be a choice of a run, got one that is none. See lrexplore.recipes.Config."
        )
    if given.get("form", "matrix") != "matrix":  # which the default initializer of matrices is none for
        given = {"initializer": TENSOR_STARTS[0], **given}
    lengths = {key for key in ("epochs", "steps") if key in given}
    base = dict(RECIPES[recipe])
    if len(lengths) == 1:
        base |= {"epochs": None, "steps": None}
    return Config(recipe=recipe, **{**base, **given})
