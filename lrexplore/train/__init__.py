"""Training: `lrexplore.train(...)` starts a run in the background, `python -m lrexplore.train` is one."""

import sys
from types import ModuleType

from lrexplore.train.background import train
from lrexplore.train.config import Config
from lrexplore.train.recipes import RECIPES, configure


class _Room(ModuleType):
    """This module, callable: Python puts it in the place of the function `lrexplore.train` once it is imported."""

    def __call__(self, *arguments, **choices):
        return train(*arguments, **choices)


sys.modules[__name__].__class__ = _Room
