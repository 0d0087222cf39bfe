"""Which weights of a model to keep, one by one."""

from lrexplore.network.pruning.prune import PrunedLayer, prune
from lrexplore.network.pruning.scores import METHODS
