"""What the explorer shows of one layer, as plain arrays; it knows no widget and no plot."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import RLock

import numpy as np
import torch

from lrexplore.explorer.layer.floor import Floor
from lrexplore.explorer.work.worker import Stopped
from lrexplore.init import INITIALIZERS, Initializer, Problem, RankErrors, nested_errors, rank_grid, single_errors
from lrexplore.linalg import Factors, dematricize, effective_rank, energy, marchenko_pastur, stable_rank

MAX_FILTERS = 36
MAX_NEURONS = 500
TABLE_RANKS = 64
CURVE_RANKS = 128


@dataclass(frozen=True)
class Curve:
    """Both relative errors of one initializer at the ranks where they are known, ascending.

    `gaps` are the places in `ranks` before which a rank of the table is not known yet: no line leads over them.
    """

    ranks: np.ndarray
    function_error: np.ndarray
    frobenius_error: np.ndarray
    gaps: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))

    def line(self, quantity: str) -> tuple[np.ndarray, np.ndarray]:
        """Ranks and errors ("function" or "frobenius") as a line with NaN where it breaks off."""
        values = getattr(self, f"{quantity}_error")
        middles = (self.ranks[self.gaps - 1] + self.ranks[self.gaps]) / 2
        x = np.insert(self.ranks.astype(np.float32), self.gaps, middles)
        return x, np.insert(np.asarray(values, dtype=np.float32), self.gaps, np.nan)


@dataclass(frozen=True)
class _Point:
    function_error: float
    frobenius_error: float
    rho: np.ndarray
    loss: np.ndarray
    image: np.ndarray | None


class Study:
    """Errors, spectrum and neurons of one layer, filled as they are computed; safe to read while a worker adds.

    `table_ranks` are the ranks at which the panel gets every neuron, `curve_ranks` those of the curves. `inputs` says
    in two words which inputs the function errors are of, `inputs_in_full` whose and how many they are. `initializers`
    are what can be studied; those in `nested` are computed for all ranks on the way, those in `compared` always drawn.
    """

    inputs = inputs_in_full = "Gaussian inputs"
    compared = ("independent", "spectral", "rescaled", "function")
    num_table_ranks = TABLE_RANKS

    def __init__(self, problem: Problem, kernel_shape: tuple[int, ...]):
        self.problem = problem
        self._records = self._known_records()
        self.initializers = tuple(self._records)
        self.nested = self._nested()
        own = [name for name, record in self._records.items() if not (record.is_ours or record.slow)]
        self.compared = (*self.compared, *own)
        self.max_rank = problem.max_rank
        self.table_ranks = np.array(rank_grid(self.max_rank, self.num_table_ranks))
        self.curve_ranks = np.array(sorted({*rank_grid(self.max_rank, CURVE_RANKS), *self.table_ranks.tolist()}))
        self._kernel_shape = kernel_shape
        self._points: dict[str, dict[int, _Point]] = {}
        self._lock = RLock()
        self.floor: Floor | None = Floor(problem)
        decomposition = problem.decomposition(self.max_rank)
        values = decomposition.values.double()
        self.singular_values = values.cpu().numpy()
        self.energy = energy(values).cpu().numpy()
        self.stable_rank, self.effective_rank = stable_rank(values), effective_rank(values)
        std = float(problem.norms.square().sum() / problem.matrix.numel()) ** 0.5
        self.random_values = marchenko_pastur(tuple(problem.matrix.shape), std).numpy()
        self.neurons = self._sample_neurons()
        self.norms = problem.norms.cpu().numpy()[self.neurons]

    def _sample_neurons(self) -> np.ndarray:
        order = np.argsort(self.problem.norms.cpu().numpy(), kind="stable")
        if len(order) <= MAX_NEURONS:
            return np.arange(len(order))
        return np.sort(order[np.linspace(0, len(order) - 1, MAX_NEURONS).round().astype(int)])

    @property
    def is_random_draw(self) -> bool:
        """Whether the singular values follow the Marchenko-Pastur law: no further than 5 % of the largest."""
        gap = np.abs(self.singular_values - self.random_values).max()
        return self.max_rank >= 8 and bool(gap <= 0.05 * self.random_values[0])

    @property
    def has_pictures(self) -> bool:
        """Whether the filters can be shown as images: a first convolution on gray or color images."""
        return len(self._kernel_shape) == 4 and self._kernel_shape[1] in (1, 3) and min(self._kernel_shape[2:]) > 1

    def curve(self, initializer: str) -> Curve | None:
        """The errors known so far; None where there are none yet. Nested initializers are computed on the way."""
        if initializer in self.nested:
            self._add_nested(initializer)
        with self._lock:
            points = dict(sorted(self._points.get(initializer, {}).items()))
        if not points:
            return None
        ranks = np.array(list(points))
        unknown = np.setdiff1d(self.table_ranks, ranks)
        return Curve(
            ranks,
            np.array([point.function_error for point in points.values()]),
            np.array([point.frobenius_error for point in points.values()]),
            1 + np.flatnonzero(np.diff(np.searchsorted(unknown, ranks))),
        )

    def neuron_table(self, initializer: str) -> tuple[np.ndarray, np.ndarray] | None:
        """rho and loss of the sampled neurons, each (table ranks, neurons); None while nothing is known.

        Loss is in units of a neuron's mean output energy, so that the function error is its mean over all neurons.
        Rows of ranks that are not known are NaN, and 0 in the loss, which is an area.
        """
        points = self._known(initializer)
        if not points:
            return None
        rho = np.full((len(self.table_ranks), len(self.neurons)), np.nan, dtype=np.float32)
        loss = np.zeros_like(rho)
        for place, rank in enumerate(self.table_ranks.tolist()):
            if rank in points:
                rho[place], loss[place] = points[rank].rho, points[rank].loss
        return rho, loss

    def images(self, initializer: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The filters before (H, W, 3) and after (table ranks, H, W, 3), uint8; None where there are none to show.

        Gray stands for ranks that are not known yet; while none is, `after` is one gray picture (H, W, 3).
        """
        if not self.has_pictures:
            return None
        before = self._image(self.problem.matrix)
        points = self._known(initializer)
        if not points:
            return before, np.full_like(before, 128)
        after = []
        for rank in self.table_ranks.tolist():
            if initializer in self.nested:
                after.append(self._image(self.factors(initializer, rank).product()))
            else:
                after.append(points[rank].image if rank in points else np.full_like(before, 128))
        return before, np.stack(after)

    def factors(self, initializer: str, rank: int, stopped: Callable[[], bool] | None = None) -> Factors:
        """The factors of an initializer at a rank, from seed 0. Raises Stopped in a sampled fit once `stopped()`."""
        generator = torch.Generator(self.problem.matrix.device).manual_seed(0)
        record = self._records[initializer]
        with torch.inference_mode():
            return record(self.problem, rank, generator=generator, **interruptible(record, stopped))

    def is_slow(self, initializer: str) -> bool:
        """Whether one rank of an initializer is long work already."""
        return self._records[initializer].slow

    def _known_records(self) -> dict[str, Initializer]:
        return dict(INITIALIZERS)

    def _nested(self) -> tuple[str, ...]:
        return tuple(name for name, record in self._records.items() if record.nested)

    def missing(self, initializer: str, first: int) -> list[int]:
        """Ranks of the table that are not known: `first` and those beside it, then coarse to fine."""
        count = len(self.table_ranks)
        bits = max(1, (count - 1).bit_length())
        order = sorted(range(count), key=lambda i: int(format(i, f"0{bits}b")[::-1], 2))
        here = int(np.searchsorted(self.table_ranks, first))
        beside = self.table_ranks[max(here - 1, 0) : here + 2].tolist()
        ranks = [first, *beside, int(self.table_ranks[-1]), *self.table_ranks[order].tolist()]
        with self._lock:
            points = self._points.get(initializer, {})
            return [rank for rank in dict.fromkeys(ranks) if rank not in points]

    def add(self, initializer: str, rank: int, stopped: Callable[[], bool] | None = None) -> None:
        """Make sure that the errors of an initializer at exactly this rank are known; raises Stopped as `factors`."""
        with self._lock:
            if rank in self._points.get(initializer, {}):
                return
        with torch.inference_mode():
            if initializer in self.nested:
                self._store(initializer, nested_errors(self.problem, self._records[initializer], [rank]))
                return
            factors = self.factors(initializer, rank, stopped)
            image = self._image(factors.product()) if self.has_pictures else None
            self._store(initializer, self._errors(factors, rank), image)

    def to_fill(self, initializer: str) -> list[str]:
        """The initializers whose curves a frame of `initializer` needs and that take long, itself first."""
        return [name for name in dict.fromkeys((initializer, *self.compared)) if name not in self.nested]

    def num_known(self, initializer: str) -> int:
        """How many ranks of an initializer are known."""
        with self._lock:
            return len(self._points.get(initializer, {}))

    def fill(self, initializer: str, first: int, stopped: Callable[[], bool]) -> Iterator[float]:
        """Adds the missing ranks one by one and yields the share that is done, until `stopped()`."""
        missing = self.missing(initializer, first)
        for done, rank in enumerate(missing, 1):
            if stopped():
                return
            try:
                self.add(initializer, rank, stopped)
            except Stopped:
                return
            yield done / len(missing)

    def errors_at(self, initializer: str, rank: int) -> tuple[float, float] | None:
        """Function and Frobenius error at exactly this rank; None where they are not known."""
        with self._lock:
            point = self._points.get(initializer, {}).get(rank)
        return point and (point.function_error, point.frobenius_error)

    def row(self, initializer: str, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """rho and loss of the sampled neurons at exactly this rank."""
        self.add(initializer, rank)
        with self._lock:
            point = self._points[initializer][rank]
        return point.rho, point.loss

    def _errors(self, factors: Factors, rank: int) -> RankErrors:
        return single_errors(self.problem, factors, rank)

    def _known(self, initializer: str) -> dict[int, _Point]:
        if initializer in self.nested:
            self._add_nested(initializer)
        with self._lock:
            return dict(sorted(self._points.get(initializer, {}).items()))

    def _add_nested(self, initializer: str) -> None:
        with self._lock:
            if len(self._points.get(initializer, {})) >= len(self.curve_ranks):
                return
        with torch.inference_mode():
            self._store(initializer, nested_errors(self.problem, self._records[initializer], self.curve_ranks.tolist()))

    def _store(self, initializer: str, errors: RankErrors, image: np.ndarray | None = None) -> None:
        units = len(self.problem.norms)
        sample = torch.as_tensor(self.neurons, device=errors.rho.device)
        rho = errors.rho[sample].float().cpu().numpy()
        loss = (errors.loss[sample] * units).float().cpu().numpy()
        function, frobenius = errors.function_error.cpu().tolist(), errors.frobenius_error.cpu().tolist()
        with self._lock:
            points = self._points.setdefault(initializer, {})
            for i, rank in enumerate(errors.ranks.tolist()):
                points[rank] = _Point(function[i], frobenius[i], rho[:, i], loss[:, i], image)

    def _image(self, matrix: torch.Tensor) -> np.ndarray:
        """The filters of a matrix as a sheet (H, W, 3) uint8."""
        scheme = "spatial" if self.problem.rows > 1 else "channel"
        kernel = dematricize(matrix, self._kernel_shape, scheme).float().cpu().numpy()
        return filter_sheet(kernel, float(self.problem.matrix.abs().max()) or 1.0)


def interruptible(record: Initializer, stopped: Callable[[], bool] | None) -> dict:
    """Options with which a long fit raises Stopped once `stopped()`; none for those that end soon."""

    def look(*_) -> None:
        if stopped():
            raise Stopped

    return {**record.steps_often, record.on_step: look} if stopped and record.on_step else {}


def filter_sheet(kernel: np.ndarray, reach: float) -> np.ndarray:
    """A sheet (H, W, 3) uint8 of the first filters of a kernel (filters, 1 or 3, k_h, k_w), gray level 128 for zero.

    `reach` is the largest magnitude, one scale for all.
    """
    tiles = np.clip(kernel / reach * 127 + 128, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    tiles = np.broadcast_to(tiles, (*tiles.shape[:3], 3))[:MAX_FILTERS]
    columns = int(np.ceil(len(tiles) ** 0.5))
    rows = -(-len(tiles) // columns)
    height, width = tiles.shape[1:3]
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 128, dtype=np.uint8)
    for i, tile in enumerate(tiles):
        top, left = 1 + i // columns * (height + 1), 1 + i % columns * (width + 1)
        sheet[top : top + height, left : left + width] = tile
    return sheet
