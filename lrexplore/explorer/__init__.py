"""The interactive explorer for JupyterLab."""

from lrexplore.explorer.app import Explorer, explore
