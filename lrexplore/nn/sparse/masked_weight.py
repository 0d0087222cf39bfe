"""Linear layers and convolutions with a mask over their weight.

The forward pass multiplies by the mask, so that a masked weight's gradient is exactly zero; it begins at zero, where
weight decay, momentum and Adam leave it. The mask is a buffer: it moves, is copied, saved and broadcast as the weight.
"""

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.nn.conv_same import Conv2dSame, is_conv_same, same_padding

SPARSE = "sparse"


class SparseWeight(nn.Module):
    """A layer whose `weight` is zero where `mask` is False; both have one shape."""

    weight: Any  # a parameter, as is the bias where there is one
    bias: Any
    mask: Tensor

    def masked(self) -> Tensor:
        """The weight that acts: what the optimizer may have put where the mask is False does not."""
        return self.weight * self.mask

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the weight."""
        return tuple(self.weight.shape)

    @property
    def num_kept(self) -> int:
        """Weights that the mask keeps."""
        return int(self.mask.sum())

    def built(self) -> dict[str, Any]:
        """What `lrexplore.nn.rebuilt` must be told beside the layer that it stands for."""
        return {"form": SPARSE, "ranks": []}

    def ordinary(self) -> nn.Linear | nn.Conv2d:
        """The layer without a mask and without values."""
        raise NotImplementedError

    def collapse(self) -> nn.Linear | nn.Conv2d:
        """The ordinary layer with zeros in its weight, and the same outputs."""
        layer = self.ordinary()
        layer.weight = nn.Parameter(self.masked().detach().clone(), requires_grad=self.weight.requires_grad)
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach().clone(), requires_grad=self.bias.requires_grad)
        return layer.train(self.training)

    def adopt(self, layer: nn.Linear | nn.Conv2d, mask: Tensor) -> Self:
        """Takes the layer's weight where the mask keeps it, zeros elsewhere, its bias and its mode; copies of them."""
        weight = layer.weight.detach()
        mask = mask.to(device=weight.device, dtype=torch.bool).clone()
        kept = torch.where(mask, weight, torch.zeros((), dtype=weight.dtype, device=weight.device))
        self.weight = nn.Parameter(kept, requires_grad=layer.weight.requires_grad)
        if layer.bias is not None:
            self.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=layer.bias.requires_grad)
        self.mask = mask
        return self.train(layer.training)

    def extra_repr(self) -> str:
        density = "" if self.mask.is_meta else f", density={self.num_kept / self.mask.numel():.4g}"
        return super().extra_repr() + density


class SparseLinear(SparseWeight, nn.Linear):
    """`nn.Linear` with a mask over its weight."""

    @classmethod
    def like(cls, layer: nn.Linear) -> Self:
        """The layer without values (on the meta device) that stands for `layer`."""
        options: dict[str, Any] = {"device": "meta", "dtype": layer.weight.dtype}
        new = cls(layer.in_features, layer.out_features, layer.bias is not None, **options)
        new.register_buffer("mask", torch.empty(layer.weight.shape, dtype=torch.bool, device="meta"))
        return new

    def ordinary(self) -> nn.Linear:
        """The layer without a mask and without values."""
        return nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.masked(), self.bias)


class SparseConv2d(SparseWeight, nn.Conv2d):
    """`nn.Conv2d` (or a `Conv2dSame`) with a mask over its kernel."""

    is_same: bool = False

    @classmethod
    def like(cls, layer: nn.Conv2d) -> Self:
        """The layer without values (on the meta device) that stands for `layer`."""
        new = cls(**_arguments(layer), device="meta", dtype=layer.weight.dtype)
        new.is_same = is_conv_same(layer) or getattr(layer, "is_same", False)
        new.register_buffer("mask", torch.empty(layer.weight.shape, dtype=torch.bool, device="meta"))
        return new

    def ordinary(self) -> nn.Conv2d:
        """The layer without a mask and without values."""
        return (Conv2dSame if self.is_same else nn.Conv2d)(**_arguments(self), device="meta")

    def forward(self, input: Tensor) -> Tensor:
        if not self.is_same:
            return self._conv_forward(input, self.masked(), self.bias)
        sizes = zip(input.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True)
        rows, columns = [same_padding(*size) for size in sizes]
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        x = F.pad(input, (*columns, *rows), mode=mode)
        return F.conv2d(x, self.masked(), self.bias, self.stride, 0, self.dilation, self.groups)


def _arguments(layer: nn.Conv2d) -> dict[str, Any]:
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    return {**{name: getattr(layer, name) for name in names}, "bias": layer.bias is not None}


def sparse_layers(model: nn.Module) -> dict[str, SparseWeight]:
    """Name -> module of the model's pruned layers."""
    return {name: module for name, module in model.named_modules() if isinstance(module, SparseWeight)}
