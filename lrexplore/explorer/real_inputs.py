"""What the layers of the network under study are given on real inputs, and whose inputs these are."""

from collections.abc import Callable

from torch import nn

from lrexplore.calibration import Calibration
from lrexplore.explorer.samples import PHOTOGRAPHS, Origin

GAUSSIAN, YOURS = INPUTS = ("Gaussian", "yours")


class RealInputs:
    """A calibration, given or yet to be made on the origin's samples; `source` says in words what it is of.

    Raises TypeError for what is no calibration, ValueError for that of another network.
    """

    def __init__(self, model: nn.Module, origin: Origin, calibration: Calibration | None = None):
        if calibration is not None:
            Calibration.require(calibration, model)
        self._model, self._origin = model, origin
        self.calibration = calibration
        self.source = f"your calibration ({calibration.num_inputs} inputs)" if calibration else ""

    def covers(self, layer: str) -> bool:
        """Whether the inputs of a layer are known."""
        return self.calibration is not None and layer in self.calibration

    def calibrate(self, progress: Callable[[int, int, str], None]) -> None:
        """Have the calibration on the samples, by one pass over them unless another tab has made it.

        `progress(done, total, words)` may raise to stop it.

        Raises ValueError where there are no samples that the model takes, and as `lr.calibrate`.
        """
        progress(0, 1, "gathering inputs")
        samples = self._origin.samples(self._model)
        total = sum(len(batch) for batch in samples.fit)
        photographs = samples.source == PHOTOGRAPHS
        source = f"{total} {samples.source}" if photographs else f"{samples.source} ({total} inputs)"

        def tell(done: int, _: int, unit: str) -> None:
            progress(done, total, f"calibrating on {source}: {done} of {total}")

        tell(0, total, "inputs")
        self.calibration = self._origin.calibrated(self._model, tell)
        self.source = source
