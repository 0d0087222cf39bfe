"""The interactive explorer for JupyterLab."""

from lrexplore.explorer.app import Explorer, explore
from lrexplore.explorer.training.tab import watch
