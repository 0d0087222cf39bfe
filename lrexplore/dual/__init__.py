"""What an activation does to Gaussian inputs: dual activations and the exact function error."""

from lrexplore.dual.activations import ACTIVATIONS, Activation, find_activation
from lrexplore.dual.function_error import best_errors, errors, function_error, projected_energy
from lrexplore.dual.known import RECORDS
from lrexplore.dual.registration import activation
from lrexplore.dual.response import BatchNorm, Response, check_batch_norm, respond
