"""Branch and bound over cosines and their signs: what no line keeps more of, where neurons may take either direction.

A neuron on a line keeps g(|c|), which has a kink where its cosine c = u.v changes sign. A concave function of
P = v v^T must allow for mixtures of lines on which signs differ. So the signs are tried: a node says for some neurons
that c_i or -c_i is in an interval [low, high], at first [0, 1]; two children say it of one more, or halve an interval.
Only the sign of one neuron need not be tried, as v and -v are one line. On a node

    F(v) <= sum of majorants (see `signed_gain`) + y_i (|c_i| - low) (high - |c_i|)  =  A + B.v + v^T C v

for any y_i >= 0, and `cones.largest_on_cone` bounds that over unit vectors. So the largest bound of all leaves is
above F on every line, whatever the parameters of the majorants are. They are best where mean and mean square of v
come from a mixture of lines that keeps most by these majorants: with p its mean and P its second moment, tr P = 1,
p is the first column and P = V V^T of a matrix V (k, q), |V| = 1; few columns are enough (Burer & Monteiro 2003).
Steps V <- (2 C V + B e_1^T) / |.| climb to it, as majorants at V touch there, and y_i grows with what p and P violate.
"""

from time import monotonic
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from lrexplore.proof.cones import largest_on_cone
from lrexplore.proof.signed_gain import SignedGain

_NUM_COLUMNS = 5
_NUM_STEPS = 40
_MAX_ROOT_STEPS = 240
_STALLED = 0.02
# Nodes split at a time, and numbers (nodes times neurons): so many stay in the cache of a core.
_MAX_BATCH, _CHUNK = 16, 8192
# Multiply-adds of all steps, under a second of one core; a neuron's majorant costs about as much as so many.
_MAX_WORK, _MAJORANT_WORK = 1.5e9, 300
_MAX_NODES = 1000
_ROUNDING = 1e-9
_ROOT_NOISE, _NOISE = 0.5, 1e-3
# Of y_i: a step's growth, and the most as a share of the curvature it is taken from.
_GROWTH, _MOST = 0.25, 0.95
_NARROW = 8e-3


class _Nodes(NamedTuple):
    """Matrices V as `points` (k, nodes, q), upper `bounds` (nodes,), and of each neuron (neurons, nodes): `signs` with
    `low` <= signs c <= `high` (-1 and 1 where the sign is not known), the `lifts` y, the `cosines` signs u.p, and the
    `doubts`: what the majorants may lose there."""

    points: Tensor
    bounds: Tensor
    signs: Tensor
    low: Tensor
    high: Tensor
    lifts: Tensor
    cosines: Tensor
    doubts: Tensor

    def pick(self, chosen: Tensor) -> "_Nodes":
        return _Nodes(*(x[:, chosen] if x.ndim > 1 else x[chosen] for x in self))

    def join(self, other: "_Nodes") -> "_Nodes":
        return _Nodes(*(torch.cat(pair, min(1, pair[0].ndim - 1)) for pair in zip(self, other, strict=True)))


class SignSearch:
    """Unit neurons `rows` with `shares` of the energy, and their gain."""

    def __init__(self, rows: Float64[Tensor, "neurons k"], shares: Float64[Tensor, " neurons"], gain: SignedGain):
        self._rows, self._shares, self._gain = rows, shares[:, None], gain
        self._num_columns = min(_NUM_COLUMNS, rows.shape[1] + 1)
        neuron_work = 2 * rows.shape[1] * self._num_columns + _MAJORANT_WORK
        self._max_nodes = min(_MAX_NODES, int(_MAX_WORK / (len(rows) * neuron_work * _NUM_STEPS)))
        self._batch = min(_MAX_BATCH, max(1, _CHUNK // len(rows)))
        self._generator = torch.Generator().manual_seed(0)

    def bound(self, line: Float64[Tensor, " k"], enough: float, deadline: float = float("inf")) -> tuple[float, int]:
        """A number that F exceeds on no line, and how many nodes were bounded.

        Starts near the unit vector `line`, and ends when the number is at most `enough`, at the deadline or
        after a fixed amount of work.
        """
        root = self._root(line, enough, deadline)
        best, count = float(root.bounds), 1
        if best <= enough or self._max_nodes < 2:
            return best, count
        live, settled = self._first_sign(root), 0.0
        while True:
            # A node without doubts can't be split; when it has the largest bound, nothing can be gained.
            splits = (live.bounds > enough) & (live.doubts.amax(0) > 0)
            settled = max([settled, *live.bounds[~splits].tolist()])
            live = live.pick(splits)
            top = float(live.bounds.max()) if len(live.bounds) else 0.0
            best = min(best, max(settled, top))
            if top <= settled or count >= self._max_nodes or monotonic() > deadline:
                return best, count
            chosen = torch.zeros_like(live.bounds, dtype=torch.bool)
            chosen[live.bounds.topk(min(self._batch, len(live.bounds))).indices] = True
            children = self._split(live.pick(chosen))
            count += len(children.bounds)
            live = live.pick(~chosen).join(children)

    def _root(self, line: Tensor, enough: float, deadline: float) -> _Nodes:
        """The node that says nothing, after steps for as long as they help."""
        points = torch.zeros(len(line), 1, self._num_columns, dtype=line.dtype, device=line.device)
        points[:, 0, 0] = line
        one, nothing = torch.ones_like(self._shares), torch.zeros_like(self._shares)
        root = _Nodes(self._noise(points, _ROOT_NOISE), one[0], one, -one, one, nothing, nothing, nothing)
        best = before = float("inf")
        for _ in range(0, _MAX_ROOT_STEPS, _NUM_STEPS):
            root = self._bounded(root)
            before, best = best, min(best, float(root.bounds))
            if best <= enough or before - best < _STALLED * (best - enough) or monotonic() > deadline:
                break
        return root._replace(bounds=root.bounds.clamp_max(best))

    def _first_sign(self, root: _Nodes) -> _Nodes:
        """The root with the sign of one neuron; V is reflected so that only its first column sees this neuron."""
        coordinates = self._rows @ root.points[:, 0]
        first = int((self._shares[:, 0] * torch.linalg.vector_norm(coordinates, dim=1)).argmax())
        mirror = coordinates[first] / torch.linalg.vector_norm(coordinates[first])
        mirror[0] -= 1
        mirror = mirror / torch.linalg.vector_norm(mirror).clamp_min(1e-12)
        points = root.points - 2 * (root.points @ mirror)[..., None] * mirror
        low = root.low.clone()
        low[first] = 0
        return self._bounded(root._replace(points=points, low=low))

    def _split(self, nodes: _Nodes) -> _Nodes:
        """Two children of each node: of the neuron that is most in doubt, the signs or the halves of its interval."""
        place = nodes.doubts.argmax(0), torch.arange(len(nodes.bounds), device=nodes.bounds.device)
        low, high = nodes.low[place], nodes.high[place]
        is_signed = low >= 0
        margin = (high - low) / 4
        middle = torch.minimum(torch.maximum(nodes.cosines[place], low + margin), high - margin)
        signs, lows, highs = ([x.clone(), x.clone()] for x in (nodes.signs, nodes.low, nodes.high))
        signs[1][place] = torch.where(is_signed, nodes.signs[place], -nodes.signs[place])
        lows[0][place], lows[1][place] = torch.where(is_signed, low, 0), torch.where(is_signed, middle, 0)
        highs[0][place] = torch.where(is_signed, middle, high)
        children = nodes.join(nodes)
        return self._bounded(
            children._replace(
                points=self._noise(children.points, _NOISE),
                signs=torch.cat(signs, 1),
                low=torch.cat(lows, 1),
                high=torch.cat(highs, 1),
            )
        )

    def _noise(self, points: Tensor, size: float) -> Tensor:
        """The points with random entries added, of norm about `size`: a column of zeros would stay zero."""
        noise = torch.randn(points.shape, generator=self._generator, dtype=points.dtype).to(points.device)
        return _normalized(points + noise * (size / noise[:, 0].numel() ** 0.5))

    def _bounded(self, nodes: _Nodes) -> _Nodes:
        """The nodes after some steps, with their bounds where these are lower than before."""
        points, lifts = nodes.points, nodes.lifts
        signed = nodes.signs * self._shares
        for _ in range(_NUM_STEPS):
            coordinates, (_, b, d), lifts = self._majorants(nodes, points, lifts)
            moved = self._rows.mT @ (2 * (d * self._shares)[..., None] * coordinates).flatten(1)
            moved = moved.view_as(points)
            moved[..., 0] += self._rows.mT @ (b * signed)
            points = _normalized(moved)
        coordinates, (a, b, d), lifts = self._majorants(nodes, points, lifts)
        linear = (b * signed).mT @ self._rows
        quadratic = (self._rows.mT * (d * self._shares).mT[:, None]) @ self._rows
        # The cone 0.q >= -1 is the whole space.
        largest = largest_on_cone(linear, 2 * quadratic, torch.zeros_like(linear), -torch.ones_like(nodes.bounds))
        bounds = torch.minimum(nodes.bounds, (a * self._shares).sum(0) + largest + _ROUNDING)
        cosines = coordinates[..., 0] * nodes.signs
        kept, _ = self._gain.gain_and_slope(cosines.abs().clamp_max(1))
        doubts = self._shares * (a + b * cosines + d * coordinates.square().sum(2) - kept)
        doubts = torch.where(nodes.high - nodes.low < _NARROW, 0, doubts)
        return nodes._replace(points=points, bounds=bounds, lifts=lifts, cosines=cosines, doubts=doubts)

    def _majorants(
        self, nodes: _Nodes, points: Tensor, lifts: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor], Tensor]:
        """Each neuron in the columns of each V (neurons, nodes, q), a, b, d of each (neurons, nodes), and new lifts."""
        coordinates = (self._rows @ points.flatten(1)).view(-1, *points.shape[1:])
        t, c = coordinates.square().sum(2).clamp_max(1), coordinates[..., 0] * nodes.signs
        low, high = nodes.low, nodes.high
        a, b, d = self._gain.majorants(c, t, low, high)
        violated = t - (low + high) * c + low * high
        lifts = torch.minimum((lifts + _GROWTH * violated).clamp_min(0), _MOST * d)
        lifts = torch.where(low >= 0, lifts, 0)
        return coordinates, (a - lifts * low * high, b + lifts * (low + high), d - lifts), lifts


def _normalized(points: Tensor) -> Tensor:
    return points / points.square().sum((0, 2), keepdim=True).sqrt()
