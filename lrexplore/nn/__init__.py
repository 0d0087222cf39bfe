"""Modules that hold factors, and what finds, replaces and collapses them in a model."""

from lrexplore.nn.conv import FactorizedConv2d
from lrexplore.nn.conv_same import Conv2dSame
from lrexplore.nn.costs import factorized_flops, factorized_parameters
from lrexplore.nn.execution import EXECUTIONS, choose_execution, factorized_layers, set_execution
from lrexplore.nn.factorize import FACTORIZED, Replacement, collapse, factorize, report
from lrexplore.nn.follows import Follows
from lrexplore.nn.layers import Layer, batch_norm_of, find_layers, layers_table, weights_of
from lrexplore.nn.linear import FactorizedLinear
from lrexplore.nn.sizes import Call

layers = layers_table

__all__ = [
    "EXECUTIONS",
    "FACTORIZED",
    "Call",
    "Conv2dSame",
    "FactorizedConv2d",
    "FactorizedLinear",
    "Follows",
    "Layer",
    "Replacement",
    "batch_norm_of",
    "choose_execution",
    "collapse",
    "factorize",
    "factorized_flops",
    "factorized_layers",
    "factorized_parameters",
    "find_layers",
    "layers",
    "layers_table",
    "report",
    "set_execution",
    "weights_of",
]
