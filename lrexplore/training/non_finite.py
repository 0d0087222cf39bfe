"""Where the first NaN or infinity arose."""

import torch
from torch import Tensor, nn


class NonFiniteLoss(ArithmeticError):
    """The loss of a step is NaN or infinite; the message says at which step and in which layer it began."""


@torch.no_grad()
def first_non_finite(model: nn.Module, *inputs: Tensor) -> str:
    """What first went wrong in a forward pass over images, or the inputs of a batch of texts; empty where nothing did.

    A layer whose inputs are finite and whose output is not, or whose weights already are not.
    """
    if not all(torch.isfinite(tensor).all() for tensor in inputs):
        return "in the images"
    places: list[str] = []

    def look(name):
        def hook(module, inputs, output):
            if places or not isinstance(output, Tensor) or torch.isfinite(output).all():
                return
            broken = [key for key, value in module.named_parameters(recurse=False) if not torch.isfinite(value).all()]
            places.append(f"in the weights of layer `{name}`" if broken else f"in the output of layer `{name}`")

        return hook

    hooks = [
        module.register_forward_hook(look(name))
        for name, module in model.named_modules()
        if name and not any(True for _ in module.children())
    ]
    try:
        output = model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if not places and not torch.isfinite(output).all():
        return "between the layers, in the network's own arithmetic"
    return places[0] if places else ""
