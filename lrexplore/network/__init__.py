"""A model and its layers: found, replaced by factorized ones, collapsed, compared, kept in files."""

from lrexplore.network.faster_execution import choose_execution
from lrexplore.network.forward.follows import Follows
from lrexplore.network.forward.sizes import Call
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

layers = layers_table
