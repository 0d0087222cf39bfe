"""What the explorer shows of one layer on real inputs, as plain arrays; it knows no widget and no plot."""

from collections.abc import Callable, Iterator

import torch

from lrexplore.explorer.layer.compute import Study, interruptible
from lrexplore.explorer.real_inputs import IMPLIED, YOURS, real_initializers
from lrexplore.init import INITIALIZERS, REAL_INPUTS, Initializer, Problem, RankErrors
from lrexplore.init.real import RealProblem
from lrexplore.init.real.input_comparison import closed_form_comparisons, input_comparison
from lrexplore.init.real.whitened import Whitening, no_worse
from lrexplore.linalg import Factors
from lrexplore.linalg.inputs import LayerInputs

TABLE_RANKS = 32


class RealStudy(Study):
    """A study whose function errors are those on held-out real inputs, with bias and batch norm as in evaluation.

    `source` says whose inputs they are, which `inputs_in_full` repeats. Everything is computed in the background:
    nothing is known at first. There is no floor: what is proved for Gaussian inputs says nothing of these.
    """

    inputs = "real inputs"
    compared = ("spectral", "function", "whitened")
    fitted_to = YOURS
    num_table_ranks = TABLE_RANKS

    def __init__(self, problem: Problem, kernel_shape: tuple[int, ...], entry: LayerInputs, source: str):
        super().__init__(problem, kernel_shape)
        self.floor = None
        self.curve_ranks = self.table_ranks
        self.real = RealProblem(problem, entry)
        self.inputs_in_full = f"{self.inputs}: {len(entry.judged):,} {self._vectors(entry, source)}"
        self._whitenings: dict[str, Whitening] = {}

    def factors(self, initializer: str, rank: int, stopped: Callable[[], bool] | None = None) -> Factors:
        """The factors of an initializer at a rank, from seed 0; raises Stopped in a fit once `stopped()`."""
        record = self._records[initializer]
        if not record.is_real:
            return super().factors(initializer, rank, stopped)
        dtype = self.problem.matrix.dtype
        with torch.inference_mode(False), torch.no_grad():  # `refined` has gradients of its own
            if record.whitening is not None:
                return no_worse(self.real, self._whitening(initializer).factors(rank), rank).to(dtype)
            generator = torch.Generator(self.problem.matrix.device).manual_seed(0)
            options = interruptible(record, stopped)
            return record(self.problem, rank, calibration=self.real.inputs, generator=generator, **options).to(dtype)

    def fill(self, initializer: str, first: int, stopped: Callable[[], bool]) -> Iterator[float]:
        """As that of any study; the closed forms under the channel scheme for all ranks in one go."""
        missing = sorted(self.missing(initializer, first))
        whitened = self._records[initializer].whitening is not None
        if self.real.rows > 1 or not (whitened or initializer == "spectral") or self.has_pictures:
            yield from super().fill(initializer, first, stopped)
            return
        if not missing:
            return
        with torch.inference_mode():
            whitening = self._whitening(initializer) if whitened else None
            points = closed_form_comparisons(self.real, missing, whitening)
            for done, errors in enumerate(points, 1):
                self._store(initializer, errors)
                if stopped():
                    return
                yield done / len(missing)

    def _whitening(self, initializer: str) -> Whitening:
        if initializer not in self._whitenings:
            self._whitenings[initializer] = Whitening(self.real, **self._records[initializer].whitening)
        return self._whitenings[initializer]

    def _errors(self, factors: Factors, rank: int) -> RankErrors:
        return input_comparison(self.real, factors, rank)

    def _vectors(self, entry: LayerInputs, source: str) -> str:
        """What the vectors are that judge, in words."""
        return f"{'held-out' if len(entry.held_out) else 'fitting'} vectors of {source}"

    def _known_records(self) -> dict[str, Initializer]:
        return {**INITIALIZERS, **{name: REAL_INPUTS[name] for name in real_initializers(self.fitted_to)}}

    def _nested(self) -> tuple[str, ...]:
        return ()


class ImpliedStudy(RealStudy):
    """A study on what the batch norms imply of the layer's inputs: vectors drawn with these moments judge."""

    inputs = "implied inputs"
    compared = ("spectral", "function", "implied")
    fitted_to = IMPLIED

    def _vectors(self, entry: LayerInputs, source: str) -> str:
        return "drawn vectors, normal with the mean and covariance that the batch norms imply (nobody's images)"
