"""Factors that come with a correction of the layer's bias, and with what was done to get them."""

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from lrexplore.linalg import Factors


@dataclass(frozen=True, eq=False)
class CorrectedFactors(Factors):
    """Factors with `bias`, to be added to the layer's output, and a `note` for the reader.

    `bias` is None where the initializer corrects none. `note` names what was repaired in ill-conditioned moments, and
    says so where the factors are those of `spectral` because the wanted ones did worse.
    """

    bias: Float[Tensor, " neurons"] | None = None
    note: str = ""

    def to(self, *args: Any, **kwargs: Any) -> "CorrectedFactors":
        """The same factors and correction on another device or in another dtype."""
        pair = super().to(*args, **kwargs)
        bias = None if self.bias is None else self.bias.to(*args, **kwargs)
        return replace(self, left=pair.left, right=pair.right, bias=bias)

    def balanced(self) -> "CorrectedFactors":
        """The same product and correction, with balanced factors."""
        pair = super().balanced()
        return replace(self, left=pair.left, right=pair.right)
