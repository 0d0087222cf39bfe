"""Projections of attention heads that keep fewer dimensions a head, each head its own number."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Places = Sequence[Sequence[int]]  # the dimensions that each head keeps, within its width


class NarrowHeads(nn.Module):
    """What both projections share: which of the `width` places of each head are in use, and the layer it stands for."""

    index: Tensor
    inverse: Tensor

    def collapse(self) -> Any:
        """The ordinary layer with the same outputs."""
        raise NotImplementedError

    def _place(self, places: Places, width: int, head_dim: int, transposed: bool) -> None:
        self.places = tuple(tuple(map(int, kept)) for kept in places)
        self.width, self.head_dim, self.transposed = int(width), int(head_dim), bool(transposed)
        used = [head * width + place for head, kept in enumerate(self.places) for place in kept]
        self.total, self.span = len(used), width * len(self.places)
        # No buffers: no state dict fills them, and whoever fills a network on meta takes buffers for lost.
        with torch.device("cpu"):
            self.index = torch.tensor(used)
            self.inverse = torch.full((self.span,), self.total)
            self.inverse[used] = torch.arange(self.total)

    def _apply(self, fn, recurse: bool = True):
        super()._apply(fn, recurse)
        device = next(iter(self._parameters.values())).device  # type: ignore[union-attr]
        if device.type != "meta":
            self.index, self.inverse = self.index.to(device), self.inverse.to(device)
        return self

    @property
    def is_full(self) -> bool:
        """Whether every head fills the width."""
        return self.total == self.span

    def spread(self, values: Tensor, dim: int = -1) -> Tensor:
        """Values of the dimensions in use put at their places of an axis, with zeros at the others."""
        if self.is_full:
            return values
        values = values.movedim(dim, -1)
        return F.pad(values, (0, 1)).index_select(-1, self.inverse.to(values.device)).movedim(-1, dim)

    def formed(self, values: Tensor, dim: int = -1) -> Tensor:
        """As `spread`, and never a view of a parameter, into which transformers' initialization would write."""
        return values.clone() if self.is_full else self.spread(values, dim)

    def slots(self, first: int, last: int) -> Tensor:
        """The row of each place of heads first..last, (heads, width); `total` where a place is not in use."""
        device = next(iter(self._parameters.values())).device  # type: ignore[union-attr]
        return self.inverse.to(device).view(-1, self.width)[first:last]

    def _ordinary(self, weight: Tensor, bias: Tensor | None, trainable: bool) -> Any:
        """The layer of these values, (out, in) and (out,), of the class that this one stands for."""
        outputs, inputs = weight.shape
        if self.transposed:
            from transformers.pytorch_utils import Conv1D

            layer: Any = Conv1D(outputs, inputs)
            weight = weight.mT.contiguous()
        else:
            layer = nn.Linear(inputs, outputs, bias is not None, device="meta")
        layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=trainable)
        if bias is not None:
            layer.bias = nn.Parameter(bias.detach().clone())
        return layer.train(self.training)

    def extra_repr(self) -> str:
        ranks = sorted({len(kept) for kept in self.places})
        return f"heads={len(self.places)}, ranks={ranks[0]}..{ranks[-1]} of {self.head_dim}, width={self.width}"


class HeadRows(NarrowHeads):
    """The projection of queries, keys, values or all three: `rows` (sum of the ranks, in_features), `shift` their bias.

    The output has `width` numbers a head: what a head does not keep is 0. `weight` and `bias` are those of the layer
    with this output, formed anew at every read.
    """

    rows: nn.Parameter
    shift: nn.Parameter | None

    def __init__(
        self, in_features: int, places: Places, *, width: int, head_dim: int, bias: bool = True,
        transposed: bool = False, device: Any = None, dtype: torch.dtype | None = None,
    ):  # fmt: skip
        super().__init__()
        self._place(places, width, head_dim, transposed)
        self.in_features, self.out_features = int(in_features), self.span
        kind: dict[str, Any] = {"device": device, "dtype": dtype}
        self.rows = nn.Parameter(torch.empty(self.total, in_features, **kind))
        self.register_parameter("shift", nn.Parameter(torch.empty(self.total, **kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws as a fresh `nn.Linear` does."""
        bound = self.in_features**-0.5
        nn.init.uniform_(self.rows, -bound, bound)
        if self.shift is not None:
            nn.init.uniform_(self.shift, -bound, bound)

    @property
    def weight(self) -> Tensor:
        """(heads width, in_features), zeros where a head keeps nothing; transposed where it stands for a Conv1D."""
        weight = self.formed(self.rows, 0)
        return weight.mT if self.transposed else weight

    @property
    def bias(self) -> Tensor | None:
        """(heads width,), or None."""
        return None if self.shift is None else self.formed(self.shift)

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Linear gives it
        return self.spread(F.linear(input, self.rows, self.shift))

    def collapse(self) -> Any:
        """The ordinary layer, `head_dim` rows a head, with zeros in those that are not kept."""
        wide = torch.cat([torch.tensor(kept) + head * self.head_dim for head, kept in enumerate(self.places)])
        wide = wide.to(self.rows.device)
        weight = self.rows.new_zeros(len(self.places) * self.head_dim, self.in_features)
        bias = None if self.shift is None else self.shift.detach().new_zeros(len(weight))
        weight = weight.detach().index_copy(0, wide, self.rows.detach())
        if bias is not None and self.shift is not None:
            bias = bias.index_copy(0, wide, self.shift.detach())
        return self._ordinary(weight, bias, self.rows.requires_grad)


class HeadColumns(NarrowHeads):
    """The output projection: `columns` (out_features, sum of the ranks) read what each head keeps of its values."""

    columns: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self, out_features: int, places: Places, *, width: int, head_dim: int, bias: bool = True,
        transposed: bool = False, device: Any = None, dtype: torch.dtype | None = None,
    ):  # fmt: skip
        super().__init__()
        self._place(places, width, head_dim, transposed)
        self.in_features, self.out_features = self.span, int(out_features)
        kind: dict[str, Any] = {"device": device, "dtype": dtype}
        self.columns = nn.Parameter(torch.empty(out_features, self.total, **kind))
        self.register_parameter("bias", nn.Parameter(torch.empty(out_features, **kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws as a fresh `nn.Linear` does."""
        bound = self.total**-0.5
        nn.init.uniform_(self.columns, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    @property
    def weight(self) -> Tensor:
        """(out_features, heads width), zeros where a head keeps nothing; transposed where it stands for a Conv1D."""
        weight = self.formed(self.columns, 1)
        return weight.mT if self.transposed else weight

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Linear gives it
        if not self.is_full:
            input = input.index_select(-1, self.index.to(input.device))
        return F.linear(input, self.columns, self.bias)

    def collapse(self) -> Any:
        """The ordinary layer, `head_dim` columns a head, with zeros in those that are not kept."""
        wide = torch.cat([torch.tensor(kept) + head * self.head_dim for head, kept in enumerate(self.places)])
        weight = self.columns.detach().new_zeros(self.out_features, len(self.places) * self.head_dim)
        weight = weight.index_copy(1, wide.to(weight.device), self.columns.detach())
        return self._ordinary(weight, self.bias, self.columns.requires_grad)
