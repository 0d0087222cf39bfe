"""Bias and batch norm of a layer as they act in evaluation mode."""

from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from lrexplore.network import Layer


def evaluation_affine(model: nn.Module, layer: Layer) -> tuple[Float64[Tensor, " c_out"], Float64[Tensor, " c_out"]]:
    """(scale, shift) of u = scale * (layer's output) + shift before the activation.

    Without a batch norm they are 1 and 0. A batch norm without running statistics gets scale and shift as if its
    inputs were standardized: what it really does depends on the batch.
    """
    weight = model.get_parameter(f"{layer.name}.weight")
    ones = torch.ones(layer.weight_shape[0], dtype=torch.float64, device=weight.device)
    if layer.follows.batch_norm is None:
        return ones, 0 * ones
    module: Any = model.get_submodule(layer.follows.batch_norm)  # torch's own, or torchvision's frozen one
    gamma, beta, mean, variance = (
        default if value is None else value.detach().double()
        for value, default in (
            (module.weight, ones),
            (module.bias, 0 * ones),
            (module.running_mean, 0 * ones),
            (module.running_var, ones),
        )
    )
    scale = gamma / (variance + module.eps).sqrt()
    return scale, beta - mean * scale
