"""What a layer is given behind layers that were changed, beside what it was given before."""

from dataclasses import dataclass

from torch import Tensor

from lrexplore.linalg.inputs import LayerInputs


@dataclass(frozen=True, eq=False, kw_only=True)
class ShiftedInputs(LayerInputs):
    """Moments and samples of x', the inputs of a layer behind changed ones, in pairs with its original inputs x.

    `mean`, `second_moment`, `samples` and `held_out` are of x'; `scale`, `shift` and the moments of outputs are those
    of the original layer on x. `original` is what is known of x, its samples in the same order.
    Raises ValueError for shapes that do not fit each other.
    """

    original: LayerInputs
    cross: Tensor  # (n, n) float64, covariance of x and x'

    def __post_init__(self) -> None:
        super().__post_init__()
        pairs = {"cross": (self.cross, self.second_moment)} | {
            name: (getattr(self.original, name), getattr(self, name)) for name in ("samples", "held_out")
        }
        for name, (there, wanted) in pairs.items():
            if there.shape != wanted.shape:
                raise ValueError(
                    f"`{name}` must have shape {tuple(wanted.shape)} in pairs with these inputs, got "
                    f"{tuple(there.shape)}. Take both from one pass."
                )
