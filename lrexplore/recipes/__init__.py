"""What a run is told: its choices, published recipes, names and command lines. Plain data, no torch."""

from lrexplore.recipes.config import Config
from lrexplore.recipes.published import RECIPES, configure
