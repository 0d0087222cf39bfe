"""A model and its layers: found, replaced by factorized ones, collapsed, compared, kept in files."""

from lrexplore.network.faster_execution import choose_execution
from lrexplore.network.follows import Follows
from lrexplore.network.layers import (
    Layer,
    batch_norm_of,
    batch_norms_of,
    factorized_flops,
    factorized_parameters,
    find_layers,
    layers_table,
    weights_of,
)
from lrexplore.network.replace import Replacement, collapse, replace_layers, report
from lrexplore.network.sizes import Call

layers = layers_table
