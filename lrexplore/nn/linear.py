"""A linear layer that stores a factor pair instead of its weight."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrexplore.linalg.factors import Factors
from lrexplore.linalg.rank import check_rank, check_size
from lrexplore.nn.factorized import FactorPair


class FactorizedLinear(FactorPair):
    """x -> left (right x) + bias: two matrix products that stand for one `nn.Linear`.

    Parameters: `left` (out_features, rank), `right` (rank, in_features), `bias` (out_features,) or None.
    `weight` is their product, formed anew at every read; assign to the factors, not to it.
    An adapter of PEFT trains on the factors with `LoraConfig(target_modules=[], target_parameters=["left", "right"])`.
    `execution` says how the same output is computed: by the two "factors", or by their "product", formed at every
    call (see `lrexplore.nn.execution`).
    Raises ValueError when the rank is not in 1..min(out_features, in_features).

    >>> layer = lr.FactorizedLinear(16, 32, rank=4)
    >>> layer(torch.zeros(2, 16)).shape, layer.left.shape, layer.right.shape
    (torch.Size([2, 32]), torch.Size([32, 4]), torch.Size([4, 16]))
    """

    bias: nn.Parameter | None
    execution: str = "factors"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if not isinstance(bias, bool):
            raise TypeError(f"`bias` must be True or False, got {bias!r}. Choose one of them.")
        self.in_features = check_size(in_features, "in_features")
        self.out_features = check_size(out_features, "out_features")
        self.rank = check_rank(rank, (out_features, in_features))
        kind: dict[str, Any] = {"device": device, "dtype": dtype}
        self.left = nn.Parameter(torch.empty(out_features, self.rank, **kind))
        self.right = nn.Parameter(torch.empty(self.rank, in_features, **kind))
        self.register_parameter("bias", nn.Parameter(torch.empty(out_features, **kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws factors whose product has the variance 1 / (3 in_features) of a fresh `nn.Linear`."""
        draw_factors(self.left, self.right, self.bias, self.in_features)

    @classmethod
    def from_layer(cls, layer: nn.Linear, factors: Factors, scheme: str = "channel") -> "FactorizedLinear":
        """The factorized layer that stands for `layer`, with a copy of its bias; `scheme` changes nothing."""
        expected = tuple(matrix_of(layer).shape)
        if factors.shape != expected:
            raise ValueError(
                f"`factors` must multiply to {expected} for this layer, got {factors.shape}. "
                "Pass the factors of this layer's weight."
            )
        has_bias = layer.bias is not None
        new = cls(expected[1], expected[0], factors.rank, has_bias, device="meta")
        adopt_parameters(new, layer, left=factors.left, right=factors.right)
        return new

    def factors(self) -> list[Factors]:
        """The factor pair, as a list of one (a grouped convolution has one pair a group)."""
        return [Factors(self.left, self.right)]

    @property
    def weight_shape(self) -> tuple[int, int]:
        """(out_features, in_features)."""
        return self.out_features, self.in_features

    @property
    def weight(self) -> Tensor:
        """The product (out_features, in_features), for code that reads the weight of a linear layer."""
        return self.left @ self.right

    def collapse(self) -> nn.Linear:
        """The ordinary layer with the same outputs."""
        has_bias = self.bias is not None
        layer = nn.Linear(self.in_features, self.out_features, has_bias, device="meta")
        adopt_weight(layer, self, self.weight)
        return layer

    def forward(self, input: Tensor) -> Tensor:  # the name that nn.Linear gives it
        if self.execution == "product":
            return F.linear(input, self.weight, self.bias)
        return F.linear(F.linear(input, self.right), self.left, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, rank={self.rank}, "
            f"bias={self.bias is not None}" + (f", execution={self.execution!r}" if self.execution != "factors" else "")
        )


class FactorizedConv1D(FactorizedLinear):
    """The same in the place of transformers' `Conv1D`, a linear layer whose weight is (in_features, out_features)."""

    @property
    def weight_shape(self) -> tuple[int, int]:
        """(in_features, out_features), as the ordinary layer keeps its weight."""
        return self.in_features, self.out_features

    def collapse(self) -> nn.Module:  # type: ignore[override]
        """The ordinary Conv1D with the same outputs."""
        from transformers.pytorch_utils import Conv1D

        layer: Any = Conv1D(self.out_features, self.in_features)
        adopt_weight(layer, self, self.weight.mT)
        layer.weight = nn.Parameter(layer.weight.detach().contiguous(), requires_grad=layer.weight.requires_grad)
        return layer


def is_conv1d(module: nn.Module) -> bool:
    """Whether a module is transformers' `Conv1D`, which need not be installed."""
    return f"{type(module).__module__}.{type(module).__qualname__}" == "transformers.pytorch_utils.Conv1D"


def matrix_of(module: Any) -> Tensor:
    """The weight of a linear layer or convolution, outputs first, as transformers' `Conv1D` does not keep it."""
    return module.weight.mT if is_conv1d(module) else module.weight


def draw_factors(left: Tensor, right: Tensor, bias: Tensor | None, fan_in: int) -> None:
    """Fills `left` (m, r) and `right` (r, n) so that each entry of the product has variance 1 / (3 fan_in).

    That is the variance of PyTorch's default draw. Uses torch's global generator, as every nn module does.
    """
    std = (1 / (3 * fan_in * left.shape[1])) ** 0.25
    nn.init.normal_(left, std=std)
    nn.init.normal_(right, std=std)
    if bias is not None:
        nn.init.uniform_(bias, -(fan_in**-0.5), fan_in**-0.5)


def adopt_parameters(new: nn.Module, layer: nn.Linear | nn.Conv2d, **factors: Tensor) -> None:
    """Gives `new` these factors, and the layer's bias (a copy), dtype, device and training mode."""
    weight = layer.weight
    for name, value in factors.items():
        value = value.detach().to(device=weight.device, dtype=weight.dtype, copy=True).contiguous()
        setattr(new, name, nn.Parameter(value, requires_grad=weight.requires_grad))
    if layer.bias is not None:
        new.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=layer.bias.requires_grad)
    new.train(layer.training)


def adopt_weight(layer: nn.Linear | nn.Conv2d, factorized: Any, weight: Tensor) -> None:
    """Gives the ordinary `layer` this weight, and a copy of the factorized layer's bias and training mode."""
    trainable = any(factor.requires_grad for factor in factorized.factor_parameters())
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=trainable)
    if factorized.bias is not None:
        layer.bias = nn.Parameter(factorized.bias.detach().clone(), requires_grad=factorized.bias.requires_grad)
    layer.train(factorized.training)
