"""Branch and bound over all subspaces of a few dimensions, for the ReLU gain.

On a cell with center P_c and largest principal angle phi, the angle between neuron i and the subspace is within phi
of its angle theta_i to the center, so t_i lies in [cos^2 min(theta_i + phi, 90 degrees), cos^2 max(theta_i - phi, 0)].
On that interval f_i has a straight line above it, f_i(t) <= a_i + s_i t (see `chords`). With S = sum s_i A_i,
F(P) <= sum a_i + <S, P>, and since <P_c, P> >= kappa in the cell, for every y >= 0

    F(P) <= sum a_i + (sum of the r largest eigenvalues of S + y P_c) - y kappa.

The error of the lines falls with phi^2, so that few cells are needed near the best subspace, and y keeps cells away
from it from borrowing its direction. For r = 1 there is a bound of third order (see `cones`).
"""

from collections.abc import Callable, Iterator
from time import monotonic
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from lrexplore.proof.chords import Chords, relu_gain, relu_gain_and_slope
from lrexplore.proof.cones import Cones
from lrexplore.proof.grassmann_cells import Cells

_BATCH_NUMBERS = 2_000_000
_MAX_BATCH = 4096
_NUM_TRIED = 16
_ROUNDING = 1e-9


class SearchResult(NamedTuple):
    """Projection of the best subspace found, what it keeps, what no subspace exceeds, cells looked at."""

    point: Float64[Tensor, "k k"]
    kept: float
    bound: float
    cells: int


class SearchState(NamedTuple):
    """Where a search stands: cells still `live` with their `bounds`; those `dropped` since the last state, which need
    no more splitting, with theirs; how many were `seen`; the projection of the best subspace so far, what it `kept`,
    and what no subspace exceeds (`bound`)."""

    live: Cells
    bounds: Float64[Tensor, " live"]
    dropped: Cells
    dropped_bounds: Float64[Tensor, " dropped"]
    seen: int
    point: Float64[Tensor, "k k"]
    kept: float
    bound: float


class Search:
    """Subspaces of dimension `rank` for neurons `rows` whose squared norms are shares of `total` 1.

    A neuron may be longer than its row: `shares` are the squared norms of whole neurons, of which the
    rows are projections. F = sum shares_i f(|P row_i|^2 / shares_i).
    """

    def __init__(self, rows: Float64[Tensor, "neurons k"], shares: Float64[Tensor, " neurons"], rank: int):
        self._rows, self._shares, self._rank = rows, shares, rank
        self._unit = rows / shares.sqrt()[:, None]
        self._length = torch.linalg.vector_norm(self._unit, dim=1)
        self._outer = (self._unit[:, :, None] * self._unit[:, None, :]).flatten(1)
        self._chords = Chords()
        self._cones = Cones(self._unit, shares, self._chords) if rank == 1 else None

    @classmethod
    def of(cls, weight: Float[Tensor, "m k"], rank: int) -> "Search":
        """The search of all subspaces of dimension `rank` for a weight of few columns and no zero row."""
        shares = weight.double().square().sum(1)
        return cls(weight.double() / shares.sum().sqrt(), shares / shares.sum(), rank)

    def kept(self, point: Float64[Tensor, "k k"]) -> float:
        """F at a projection."""
        return float((self._shares * relu_gain(self._squares(point[None])[0])).sum())

    def climb(self, point: Float64[Tensor, "k k"], num_steps: int = 30) -> Float64[Tensor, "k k"]:
        """The projection that power steps reach from `point`."""
        basis = torch.linalg.eigh(point).eigenvectors[:, -self._rank :]
        for _ in range(num_steps):
            coordinates = self._unit @ basis
            _, slopes = relu_gain_and_slope(coordinates.square().sum(1).clamp(1e-7, 1))
            basis, _ = torch.linalg.qr(self._unit.mT @ ((self._shares * slopes)[:, None] * coordinates))
        return basis @ basis.mT

    def run(
        self,
        point: Float64[Tensor, "k k"],
        eps: float,
        deadline: float,
        on_batch: Callable[[int, float, float], None] | None = None,
    ) -> SearchResult:
        """The best subspace to within `eps`, from the incumbent `point`, or as far as the deadline allows.

        `on_batch(cells, kept, bound)` is called after every batch of cells.
        """
        for state in self.steps(point, eps):
            if on_batch is not None:
                on_batch(state.seen, state.kept, state.bound)
            if monotonic() > deadline:
                break
        return SearchResult(state.point, state.kept, state.bound, state.seen)

    def steps(self, point: Float64[Tensor, "k k"], eps: float, batch: int | None = None) -> Iterator[SearchState]:
        """The search, batch by batch of cells split, until no cell can hold a subspace better by `eps`."""
        best, kept = point, self.kept(point)
        live = Cells.all(self._rank, self._rows.shape[1])
        bounds, centers = self._bound(live)
        best, kept = self._improve(best, kept, bounds, centers)
        seen, discarded = len(live), 0.0
        if batch is None:
            batch = int(min(_MAX_BATCH, max(64, _BATCH_NUMBERS // max(self._outer.shape))))
        while True:
            over = bounds > kept + eps
            dropped, dropped_bounds = live.pick(~over), bounds[~over]
            live, bounds = live.pick(over), bounds[over]
            discarded = max([discarded, *dropped_bounds.topk(min(1, len(dropped))).values.tolist()])
            top = max(kept, discarded, float(bounds.max()) if len(live) else 0.0)
            yield SearchState(live, bounds, dropped, dropped_bounds, seen, best, kept, top)
            if not len(live):
                return
            chosen = torch.zeros(len(live), dtype=torch.bool)
            chosen[bounds.topk(min(batch, len(live))).indices] = True
            children = live.pick(chosen).split()
            child_bounds, centers = self._bound(children, kept + eps)
            child_bounds = torch.minimum(child_bounds, bounds[chosen].repeat(2))
            best, kept = self._improve(best, kept, child_bounds, centers)
            live, bounds = live.pick(~chosen).join(children), torch.cat([bounds[~chosen], child_bounds])
            seen += len(children)

    def _squares(self, points: Tensor) -> Tensor:
        """t_i at projections (cells, k, k), (cells, neurons)."""
        return (points.flatten(1) @ self._outer.mT).clamp(0, 1)

    def _improve(self, best: Tensor, kept: float, bounds: Tensor, centers: Tensor) -> tuple[Tensor, float]:
        """The better of the incumbent and what a climb reaches from the most promising centers."""
        promising = centers[bounds.topk(min(_NUM_TRIED, len(bounds))).indices]
        values = (relu_gain(self._squares(promising)) * self._shares).sum(1)
        top = int(values.argmax())
        if float(values[top]) > kept + 1e-7:
            for candidate in (promising[top], self.climb(promising[top])):
                if self.kept(candidate) > kept:
                    best, kept = candidate, self.kept(candidate)
        return best, kept

    def _bound(self, cells: Cells, enough: float = float("-inf")) -> tuple[Tensor, Tensor]:
        """Upper bounds of F on cells and their centers (cells, k, k); bounds below `enough` stay crude."""
        if self._cones is not None:
            center, angle = cells.axes()
            return self._cones.bound(center, angle) + _ROUNDING, center[:, :, None] * center[:, None, :]
        points, reach, overlap = cells.reach()
        squares = self._squares(points)
        # The angle is that of the row in R^k; the neuron is longer by a factor that does not change in the cell.
        cosine = (squares.sqrt() / self._length.clamp_min(1e-300)).clamp(0, 1)
        sine = (1 - cosine**2).sqrt()
        turn = reach[:, None] + 1e-7
        nearer = torch.where(cosine >= torch.cos(turn), 1, cosine * torch.cos(turn) + sine * torch.sin(turn))
        farther = (cosine * torch.cos(turn) - sine * torch.sin(turn)).clamp_min(0)
        high, low = (nearer * self._length).square(), (farther * self._length).square()
        offset, slope = self._chords.lines(low, squares, high.clamp(0, 1))
        constant = (offset * self._shares).sum(1) + _ROUNDING
        matrix = ((slope * self._shares) @ self._outer).view_as(points)
        bounds = constant + self._top_sum(matrix)
        left = bounds > enough
        if bool(left.any()):
            held = self._hold(matrix[left], points[left], overlap[left], constant[left])
            bounds[left] = torch.minimum(bounds[left], held)
        return bounds, points

    def _top_sum(self, matrices: Tensor) -> Tensor:
        return torch.linalg.eigvalsh(matrices)[:, -self._rank :].sum(1)

    def _hold(self, matrix: Tensor, points: Tensor, overlap: Tensor, constant: Tensor) -> Tensor:
        """The bound with the best y >= 0, or nearly."""
        dimension = matrix.shape[1]
        if self._rank == dimension - 1:
            # With P = I - n n^T the bound is tr S + (largest eigenvalue of y n n^T - S) - y (kappa - (k - 2)).
            normal = torch.eye(dimension, dtype=matrix.dtype) - points
            total = constant + matrix.diagonal(dim1=1, dim2=2).sum(1)
            return total + _largest_in_cone(-matrix, normal, overlap - (dimension - 2))
        low, high = 1e-3 * torch.linalg.matrix_norm(matrix), 4 * torch.linalg.matrix_norm(matrix)
        best = torch.full_like(constant, torch.inf)
        for _ in range(8):
            y = (low * high).sqrt()
            values, vectors = torch.linalg.eigh(matrix + y[:, None, None] * points)
            best = torch.minimum(best, constant + values[:, -self._rank :].sum(1) - y * overlap)
            top = vectors[:, :, -self._rank :]
            inside = (top.mT @ points @ top).diagonal(dim1=1, dim2=2).sum(1) >= overlap
            low, high = torch.where(inside, low, y), torch.where(inside, y, high)
        return best


def _largest_in_cone(matrix: Tensor, line: Tensor, cosine2: Tensor) -> Tensor:
    """min over y >= 0 of (largest eigenvalue of S + y c c^T) - y cosine2, from above, for `line` = c c^T, batched.

    For 1 / y = sum (c.q)^2 / (l - mu), a number l above the eigenvalues mu of S is the largest one of S + y c c^T. So
    the minimum is over l, where the function is convex; bisection on its derivative.
    """
    values, vectors = torch.linalg.eigh(matrix)
    weights = (vectors * (line @ vectors)).sum(1).clamp_min(0)
    scale = torch.linalg.matrix_norm(matrix) + 1e-300
    low, high = scale.log() - 14.0, scale.log() + 7.0
    best = values[:, -1] + 0 * scale
    for _ in range(24):
        middle = (low + high) / 2
        above = (values[:, -1] + middle.exp())[:, None]
        inverse = (weights / (above - values)).sum(1)
        best = torch.minimum(best, above[:, 0] - cosine2 / inverse)
        falling = inverse**2 < cosine2 * (weights / (above - values) ** 2).sum(1)
        low, high = torch.where(falling, middle, low), torch.where(falling, high, middle)
    return best + 1e-8 * scale
