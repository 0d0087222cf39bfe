"""Layers some of whose weights are zero for good."""

from lrexplore.nn.sparse.masked_weight import SparseConv2d, SparseLinear, SparseWeight, sparse_layers
