"""Frobenius decay of an attention's heads: of q_h^T k_h and of o_h v_h, from Grams of a head's size."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lrexplore.linalg import upcast
from lrexplore.nn import Factorized
from lrexplore.optim.frobenius_decay import FrobeniusDecay


class HeadProduct(Factorized):
    """All heads' products of two weights that some attention holds: a view of them, which owns no parameter.

    "qk": `first` and `second` are the weights (num_heads * d, n) of queries and keys, and head h is q_h^T k_h. "ov":
    `first` is the output's weight (m, num_heads * d), `second` the values', and head h is o_h v_h.
    """

    def __init__(self, product: str, first: nn.Parameter, second: nn.Parameter, num_heads: int):
        super().__init__()
        self.product, self.num_heads = product, num_heads
        self._weights = (first, second)  # in a tuple, where torch does not take them for parameters of this module

    def factor_parameters(self) -> tuple[nn.Parameter, nn.Parameter]:
        """The two weights."""
        return self._weights

    def factor_stacks(self) -> tuple[Float[Tensor, "heads m d"], Float[Tensor, "heads d n"]]:
        """The factors, head by head; views of the weights."""
        first, second = self._weights
        right = second.unflatten(0, (self.num_heads, -1))
        if self.product == "qk":
            return first.unflatten(0, (self.num_heads, -1)).mT, right
        return first.unflatten(1, (self.num_heads, -1)).transpose(0, 1), right

    def frobenius_penalty(self) -> Tensor:
        """The sum over heads of the squared norm of their products, differentiable."""
        left, right = map(upcast, self.factor_stacks())
        return ((left.mT @ left) * (right @ right.mT)).sum()

    @torch.no_grad()
    def penalty_gradients(self) -> tuple[Tensor, Tensor]:
        """Gradients of half the penalty, shaped like the weights: dq_h = k_h k_h^T q_h, and so on."""
        left, right = map(upcast, self.factor_stacks())
        d_left, d_right = left @ (right @ right.mT), (left.mT @ left) @ right
        first = d_left.mT.flatten(0, 1) if self.product == "qk" else d_left.transpose(0, 1).flatten(1)
        return first, d_right.flatten(0, 1)


class HeadProductDecay(FrobeniusDecay):
    """Frobenius decay of these products as part of an optimizer's `step`; see `FrobeniusDecay`.

    Give their weights weight decay 0: `without_weight_decay` does.
    """

    def __init__(self, products: Iterable[HeadProduct], strength: float):
        super().__init__(nn.Module(), strength)
        self.modules = list(products)


def without_weight_decay(groups: list[dict], parameters: Iterable[nn.Parameter]) -> list[dict]:
    """The optimizer's groups with these parameters in one of their own, `heads`, that has weight decay 0."""
    chosen = {id(parameter) for parameter in parameters}
    taken = [parameter for group in groups for parameter in group["params"] if id(parameter) in chosen]
    left = [{**group, "params": [p for p in group["params"] if id(p) not in chosen]} for group in groups]
    heads = [{"name": "heads", "params": taken, "weight_decay": 0.0}] if taken else []
    return [group for group in left if group["params"]] + heads
