"""What every module that stores factors can do, whatever it multiplies them to."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lrexplore.linalg import upcast


class Factorized(nn.Module):
    """A module that stores factors in the place of the weights that they multiply to.

    A new kind of layer subclasses it and says the four things below; collapsing a model, Frobenius decay and the
    optimizer's groups then know it.
    """

    def collapse(self) -> nn.Module:
        """The ordinary module with the same outputs."""
        raise NotImplementedError

    def factor_parameters(self) -> tuple[nn.Parameter, ...]:
        """The parameters that are factors; biases and gains are not."""
        raise NotImplementedError

    def frobenius_penalty(self) -> Tensor:
        """Squared Frobenius norm of what the factors multiply to (all products together), differentiable."""
        raise NotImplementedError

    def penalty_gradients(self) -> tuple[Tensor, ...]:
        """Gradients of half the penalty, one a factor and shaped like it; detached."""
        raise NotImplementedError

    def multiply_adds(self, input_size: tuple[int, int], output_size: tuple[int, int]) -> int:
        """Multiply-adds of one input in one call, from and to so many rows and columns (positions and 1)."""
        raise NotImplementedError

    def built(self) -> dict[str, Any]:
        """What `lrexplore.nn.rebuilt` must be told, beside the layer that it stands for, to make it anew."""
        raise NotImplementedError


class FactorPair(Factorized):
    """A factorized module whose weight is left right, group by group: parameters `left` and `right`."""

    left: nn.Parameter
    right: nn.Parameter
    rank: int
    groups: int = 1

    def built(self) -> dict[str, Any]:
        """The rank and the scheme."""
        return {"rank": self.rank, "scheme": getattr(self, "scheme", "channel")}

    def factor_parameters(self) -> tuple[nn.Parameter, nn.Parameter]:
        """`left` and `right`."""
        return self.left, self.right

    def factor_stacks(self) -> tuple[Float[Tensor, "groups m r"], Float[Tensor, "groups r n"]]:
        """The factors, group by group; views of the parameters."""
        left: Any = self.left.unflatten(0, (self.groups, -1))
        right: Any = self.right.unflatten(0, (self.groups, -1))
        return left, right

    def frobenius_penalty(self) -> Tensor:
        """|left right|_F^2, all groups together, differentiable, from r x r Grams."""
        left, right = map(upcast, self.factor_stacks())
        return ((left.mT @ left) * (right @ right.mT)).sum()

    @torch.no_grad()
    def penalty_gradients(self) -> tuple[Tensor, Tensor]:
        """Gradients of |left right|_F^2 / 2: left (right right^T) and (left^T left) right, shaped like the parameters.

        Cost O(r^2 (m + n)); the product is never formed (Khodak et al. 2021, arXiv:2105.01029).
        """
        left, right = map(upcast, self.factor_stacks())
        left_gradient, right_gradient = left @ (right @ right.mT), (left.mT @ left) @ right
        return left_gradient.flatten(0, 1), right_gradient.flatten(0, 1)
