"""What the layers of the network under study are given, and by whom: real inputs, or what batch norms imply of them."""

from collections.abc import Callable

from torch import nn

from lrexplore.calibration import Calibration, implies_inputs
from lrexplore.explorer.samples import Origin
from lrexplore.init import REAL_INPUTS
from lrexplore.linalg import inputs as sources
from lrexplore.linalg.inputs import LayerInputs

GAUSSIAN, IMPLIED, YOURS = INPUTS = ("gaussian", "implied", "yours")
NOT_IMPLIED = (
    f"`inputs` must be {GAUSSIAN} or {YOURS} for this network, got {IMPLIED!r}: it has no batch norms with statistics "
    "of training, or a layer too wide for it. Choose one of them."
)


def real_initializers(inputs: str = YOURS) -> tuple[str, ...]:
    """The names of the initializers that are fitted to these inputs of one layer, the usual one first; none for
    Gaussian ones.

    "whitened" on implied inputs is "implied".
    """
    twin = {YOURS: "implied", IMPLIED: "whitened"}.get(inputs)
    return tuple(name for name in REAL_INPUTS if name != twin and not REAL_INPUTS[name].in_sequence) if twin else ()


class RealInputs:
    """A calibration, given or yet to be made on the origin's samples, and what the network's batch norms imply.

    `source` says in words what the calibration is of, `implies_inputs` whether there are batch norms that imply any.
    `edition` counts whose inputs "yours" were so far.
    Raises TypeError for what is no calibration, ValueError for that of another network.
    """

    def __init__(self, model: nn.Module, origin: Origin, calibration: Calibration | None = None):
        if calibration is not None:
            Calibration.require(calibration, model)
        self._model, self.origin = model, origin
        self.calibration, self.implied, self.edition = calibration, None, 0
        self.implies_inputs = implies_inputs(model)
        self.source = f"your calibration ({calibration.num_inputs} inputs)" if calibration else ""

    def of_others(self, origin: Origin) -> "RealInputs":
        """The same network with other inputs of the person's, of which nothing is known yet."""
        other = RealInputs(self._model, origin)
        other.implied, other.edition = self.implied, self.edition + 1
        return other

    def of(self, inputs: str) -> Calibration | None:
        """What is known of the layers' inputs, "yours" or "implied"; None until it is, and for Gaussian ones."""
        return {YOURS: self.calibration, IMPLIED: self.implied}.get(inputs)

    def entry(self, layer: str, inputs: str = YOURS) -> LayerInputs | None:
        """The inputs of a layer; None where they are not known, white noise for lack of others included."""
        calibration = self.of(inputs)
        entry = None if calibration is None or layer not in calibration else calibration[layer]
        return None if entry is None or entry.source == sources.WHITE else entry

    def learn(self, inputs: str, progress: Callable[[int, int, str], None]) -> None:
        """Have what is known of "yours" or "implied" inputs; see `calibrate`."""
        if inputs == YOURS:
            self.calibrate(progress)
        else:
            self.implied = self.origin.implied(self._model, progress)

    def knows_heads(self, attention: str, inputs: str = YOURS) -> bool:
        """Whether what the heads of an attention are given is known."""
        calibration = self.of(inputs)
        return calibration is not None and attention in calibration.heads

    def calibrate(self, progress: Callable[[int, int, str], None]) -> None:
        """Have the calibration on the samples, by one pass over them unless another tab has made it.

        `progress(done, total, what)` may raise to stop it.

        Raises ValueError where there are no samples that the model takes, and as `lr.calibrate`.
        """
        progress(0, 1, "gathering inputs")
        samples = self.origin.samples(self._model)
        self.calibration = self.origin.calibrated(self._model, progress)
        self.source = samples.said(sum(len(batch) for batch in samples.fit))
