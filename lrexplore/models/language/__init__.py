"""Transformers that train on text: a translator and a masked language model, whose heads' sizes can be chosen."""

from collections.abc import Callable

from torch import nn

from lrexplore.models.language.masked import masked_language_model
from lrexplore.models.language.translator import Translator, translator

LANGUAGE: dict[str, Callable[..., nn.Module]] = {"translation": translator, "masked-lm": masked_language_model}
"""Name -> a function of the number of pieces, with the choices of `initialize_heads` and `dropout`."""
