"""Modules that hold factors."""

from lrexplore.nn.conv import FactorizedConv2d
from lrexplore.nn.conv_same import Conv2dSame
from lrexplore.nn.execution import EXECUTIONS, set_execution
from lrexplore.nn.factorized import Factorized, FactorPair
from lrexplore.nn.kinds import FACTORIZED, factorized_layers
from lrexplore.nn.linear import FactorizedLinear
