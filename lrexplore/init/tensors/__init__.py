"""Initializers for kernels and matrices as products of tensors."""

from lrexplore.init.tensors.chosen import TENSOR_INITIALIZERS, check_tensor_initializer, initialize_tensor
