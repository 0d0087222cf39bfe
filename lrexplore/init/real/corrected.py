"""Factors that come with a correction of the layer's bias, and with what was done to get them."""

from dataclasses import dataclass, replace

from torch import Tensor

from lrexplore.linalg import Factors


@dataclass(frozen=True, eq=False)
class CorrectedFactors(Factors):
    """Factors with `bias` (neurons,), to be added to the layer's output, and a `note` for the reader.

    `bias` is None where the initializer corrects none. `note` names what was repaired in ill-conditioned moments, and
    says so where the factors are those of `spectral` because the wanted ones did worse.
    """

    bias: Tensor | None = None
    note: str = ""

    def to(self, *args, **kwargs) -> "CorrectedFactors":
        """The same factors and correction on another device or in another dtype."""
        moved = [None if x is None else x.to(*args, **kwargs) for x in (self.left, self.right, self.bias)]
        return replace(self, left=moved[0], right=moved[1], bias=moved[2])

    def balanced(self) -> "CorrectedFactors":
        """The same product and correction, with balanced factors."""
        pair = super().balanced()
        return replace(self, left=pair.left, right=pair.right)
