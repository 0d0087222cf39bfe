"""Ranks for a whole network: error curves, allocation under a budget, plans."""

from lrexplore.ranks.allocate import allocate
from lrexplore.ranks.budget_choices import METHODS, PLAIN, SENSITIVITY, WEIGHTS
from lrexplore.ranks.cache import cache_folder
from lrexplore.ranks.factorize import factorize
from lrexplore.ranks.heads.head_error import HeadError, head_error
from lrexplore.ranks.network_curves import FROM_NORMS, GAUSSIAN, YOURS, LayerCurve, layer_curves
from lrexplore.ranks.plan import LayerPlan, RankPlan
from lrexplore.ranks.sensitivity import sensitivities
