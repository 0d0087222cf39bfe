"""Layers of a model in other forms than a pair of factors."""

from lrexplore.network.forms.each_form import replace_each, tensor_start
from lrexplore.network.forms.overcomplete import overcomplete
from lrexplore.network.forms.tensor_layers import replace_by_tensors
