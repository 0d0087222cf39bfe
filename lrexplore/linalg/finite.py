"""Whether a tensor holds numbers that can be computed with."""

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_SMALLEST, _LARGEST = 1e-100, 1e100  # past these, squares leave the range of float64


def check_finite(weight: Tensor, name: str = "weight") -> Tensor:
    """The weight, detached, when it is dense and all its entries are real, finite numbers of a usual size.

    Raises ValueError, or TypeError for what is no tensor, that calls it by its `name`.
    """
    if not isinstance(weight, Tensor):
        given = type(weight).__name__
        way_out = "Pass its `.weight`." if hasattr(weight, "weight") else "Convert it with `torch.as_tensor`."
        raise TypeError(f"`{name}` must be a torch tensor, got a {given}. {way_out}")
    if is_lazy(weight):
        raise ValueError(f"`{name}` must hold values, got an uninitialized tensor. Run one forward pass first.")
    weight = weight.detach()
    if weight.is_nested:
        raise ValueError(f"`{name}` must be dense, got a nested tensor. Pass its parts one by one.")
    if weight.is_quantized:
        raise ValueError(f"`{name}` must be floating point, got {weight.dtype}. Convert it with `.dequantize()`.")
    if weight.layout != torch.strided:
        raise ValueError(f"`{name}` must be dense, got {weight.layout}. Convert it with `.to_dense()`.")
    if weight.is_complex():
        raise ValueError(f"`{name}` must be real, got {weight.dtype}. Pass its `.real` or its `.abs()`.")
    if weight.dtype not in _DTYPES:
        kind = "of 16 bits or more" if weight.dtype.is_floating_point else "floating point"
        raise ValueError(f"`{name}` must be {kind}, got {weight.dtype}. Convert it with `.float()`.")
    if weight.numel() == 0:
        raise ValueError(f"`{name}` must have entries, got shape {tuple(weight.shape)}. Pass a non-empty weight.")
    check_values(weight, name, "Load the weights first.", "Repair or reload the weights first.")
    peak = max(-float(weight.min()), float(weight.max()))
    if peak and not _SMALLEST <= peak <= _LARGEST:
        raise ValueError(
            f"`{name}` must have a largest entry between {_SMALLEST:g} and {_LARGEST:g}, got {peak:.3g}. Divide it by "
            "that first: relative errors stay, and factors scale with it."
        )
    return weight


def check_values(tensor: Tensor, name: str, without: str, broken: str, *, owner: str = "") -> None:
    """Raises ValueError for a tensor that is not dense, on the meta device, or has NaN or inf in it, with a way out."""
    called = f"`{name}` of {owner}" if owner else f"`{name}`"
    if tensor.is_nested or not (tensor.layout == torch.strided or tensor.is_mkldnn):
        kind = "a nested tensor" if tensor.is_nested else tensor.layout
        raise ValueError(f"{called} must be dense, got {kind}. Convert it with `.to_dense()`.")
    if tensor.is_meta:
        raise ValueError(f"{called} must hold values, got a tensor on the meta device. {without}")
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return
    small = tensor.is_floating_point() and tensor.element_size() == 1  # float8, of which torch knows little
    bad = int((~torch.isfinite(tensor.float() if small else tensor)).sum())
    if bad:
        raise ValueError(f"{called} must be finite, got {bad} NaN or infinite of {tensor.numel()} entries. {broken}")
