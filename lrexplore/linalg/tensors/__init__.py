"""Kernels as products of more than two factors: Tucker-2, tensor train, canonical polyadic (CP)."""

from lrexplore.linalg.tensors.canonical import CPFactors
from lrexplore.linalg.tensors.form_ranks import (
    FORMS,
    MATRIX,
    TENSOR_FORMS,
    check_form,
    ranks_from_scale,
    ranks_within,
    tensor_error,
    tensor_form,
)
from lrexplore.linalg.tensors.kernel_factors import KernelFactors
from lrexplore.linalg.tensors.tensor_train import TrainFactors
from lrexplore.linalg.tensors.train_matrix import TrainMatrix
from lrexplore.linalg.tensors.tucker import TuckerFactors
