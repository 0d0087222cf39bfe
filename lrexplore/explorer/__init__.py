"""The interactive explorer for JupyterLab."""

from lrexplore.explorer.app import Explorer
from lrexplore.explorer.explore import explore
from lrexplore.explorer.training_tab import watch
