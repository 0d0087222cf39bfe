"""What training adds to torch's optimizers: Frobenius decay, and which parameter gets which decay."""

from lrexplore.optim.frobenius_decay import FrobeniusDecay, add_frobenius_decay, frobenius_penalty
from lrexplore.optim.lamb import Lamb
from lrexplore.optim.nuclear_decay import NuclearDecay, shrink_singular_values
from lrexplore.optim.param_groups import DECAYS, parameter_groups, without_weight_decay
