"""Training: `lr.train(...)` starts a run in the background, `python -m lrexplore.training` is one."""

from lrexplore.training.background import train
