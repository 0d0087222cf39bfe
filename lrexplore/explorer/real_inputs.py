"""What the layers of the network under study are given on real inputs, and whose inputs these are."""

from collections.abc import Callable

from torch import nn

from lrexplore.calibration import Calibration
from lrexplore.explorer.samples import Origin
from lrexplore.init import REAL_INPUTS

GAUSSIAN, YOURS = INPUTS = ("gaussian", "yours")
IMPLIED = "implied"
"""What the network's batch norms say of every layer's inputs; a choice for the whole network."""


def real_initializers() -> tuple[str, ...]:
    """The names of the initializers that are fitted to real inputs of one layer."""
    return tuple(name for name, record in REAL_INPUTS.items() if not (record.is_implied or record.in_sequence))


class RealInputs:
    """A calibration, given or yet to be made on the origin's samples; `source` says in words what it is of.

    Raises TypeError for what is no calibration, ValueError for that of another network.
    """

    def __init__(self, model: nn.Module, origin: Origin, calibration: Calibration | None = None):
        if calibration is not None:
            Calibration.require(calibration, model)
        self._model, self.origin = model, origin
        self.calibration = calibration
        self.source = f"your calibration ({calibration.num_inputs} inputs)" if calibration else ""

    def covers(self, layer: str) -> bool:
        """Whether the inputs of a layer are known."""
        return self.calibration is not None and layer in self.calibration

    def calibrate(self, progress: Callable[[int, int, str], None]) -> None:
        """Have the calibration on the samples, by one pass over them unless another tab has made it.

        `progress(done, total, what)` may raise to stop it.

        Raises ValueError where there are no samples that the model takes, and as `lr.calibrate`.
        """
        progress(0, 1, "gathering inputs")
        samples = self.origin.samples(self._model)
        self.calibration = self.origin.calibrated(self._model, progress)
        self.source = samples.said(sum(len(batch) for batch in samples.fit))
