"""Independent routes to the numbers of lrexplore's mathematics: slow, plain, and sharing no formula with it."""

import math

import numpy as np
import torch
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.legendre import leggauss

from lrexplore.dual import ACTIVATIONS


def _panels(cuts: np.ndarray, num_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights between consecutive `cuts` (..., points)."""
    node, weight = leggauss(num_nodes)
    middle, half = (cuts[..., 1:] + cuts[..., :-1]) / 2, (cuts[..., 1:] - cuts[..., :-1]) / 2
    z = middle[..., None] + half[..., None] * node
    return z.reshape(*z.shape[:-2], -1), (half[..., None] * weight).reshape(*z.shape[:-2], -1)


def pair_expectation(
    name: str, rho: float, first: float, second: float, shift: float = 0.0, num_panels: int = 24
) -> float:
    """E s(first z + shift) s(second z' + shift), corr(z, z') = rho: z' given z inside, both cut at the kinks of s."""
    found = ACTIVATIONS[name]
    grid = np.linspace(-9, 9, num_panels + 1)
    kinks = np.array(found.breaks)
    cuts = np.concatenate([grid, (kinks - shift) / first]).clip(-9, 9)
    if second != 0 and rho != 0:
        # where the inner expectation turns fast, when rho is near 1 or -1, or bends itself
        width = math.sqrt(max(0.0, 1 - rho * rho)) / abs(rho)
        near = ((kinks - shift) / (second * rho))[:, None] + width * np.linspace(-6, 6, 9)
        cuts = np.concatenate([cuts, near.ravel()]).clip(-9, 9)
    z, weight = _panels(np.sort(cuts), 16)
    spread = math.sqrt(max(0.0, 1 - rho * rho))
    if spread == 0 or second == 0:
        inner = _apply(found, second * rho * z + shift)
    else:
        at = (kinks - shift - second * rho * z[:, None]) / (second * spread)
        inner_cuts = np.concatenate([np.broadcast_to(grid, (len(z), len(grid))), at], 1).clip(-9, 9)
        u, inner_weight = _panels(np.sort(inner_cuts, 1), 12)
        values = _apply(found, second * (rho * z[:, None] + spread * u) + shift)
        inner = (values * inner_weight * np.exp(-(u**2) / 2)).sum(1) / math.sqrt(2 * math.pi)
    density = weight * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return float((density * _apply(found, first * z + shift) * inner).sum())


def wide_expectation(name: str, rho: float, first: float, second: float, shift: float = 0.0) -> float:
    """The same at any spread, also one of 1e4: intervals shrink by halves towards 0 and the kinks of s, in both."""
    found = ACTIVATIONS[name]
    places, spread = [0.0, *found.breaks], math.sqrt(max(0.0, 1 - rho * rho))
    halves = np.concatenate([-(2.0 ** np.arange(-10, 11))[::-1], [0.0], 2.0 ** np.arange(-10, 11)])
    cuts = [np.linspace(-9, 9, 37), *((at - shift + halves) / first for at in places)]
    if rho:
        scales = [1.0, max(spread, 1e-12)]
        cuts += [((at - shift) / second + halves * scale) / rho for at in places for scale in scales]
        cuts += [(at - shift + halves) / (second * rho) for at in places]
    z, weight = _panels(np.sort(np.concatenate(cuts).clip(-9, 9)), 16)
    z, weight = z[weight > 0], weight[weight > 0]
    mean, width = shift + second * rho * z, second * spread
    inner = _apply(found, mean)
    if width:
        for start in range(0, len(z), 256):
            near = mean[start : start + 256, None]
            offsets = [(at - near + halves) / width for at in places]
            u_cuts = np.concatenate([np.broadcast_to(np.linspace(-9, 9, 37), (len(near), 37)), *offsets], 1)
            u, u_weight = _panels(np.sort(u_cuts.clip(-9, 9), 1), 12)
            values = _apply(found, near + width * u)
            inner[start : start + 256] = (values * u_weight * np.exp(-(u**2) / 2)).sum(1) / math.sqrt(2 * math.pi)
    density = weight * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return float((density * _apply(found, first * z + shift) * inner).sum())


def _apply(activation, points: np.ndarray) -> np.ndarray:
    return activation.function(torch.from_numpy(points)).numpy()


def neuron_loss(name: str, rho: float, first: float, second: float, shift: float = 0.0) -> float:
    """E (s(first z + shift) - s(second z' + shift))^2."""
    own = pair_expectation(name, 1.0, first, first, shift)
    other = pair_expectation(name, 1.0, second, second, shift) if second else _at_rest(name, shift) ** 2
    return own + other - 2 * pair_expectation(name, rho, first, second, shift)


def _at_rest(name: str, shift: float) -> float:
    return float(ACTIVATIONS[name].function(torch.tensor(shift, dtype=torch.float64)))


def relu_error(matrix: torch.Tensor, product: torch.Tensor, rows: int = 1) -> torch.Tensor:
    """Relative function error for ReLU by theory's first formula; differentiable."""
    w, y = (x.reshape(-1, rows * x.shape[1]) for x in (matrix, product))
    dot, w2, y2 = (w * y).sum(1), w.square().sum(1), y.square().sum(1)
    scale = (w2 * y2).clamp_min(1e-30).sqrt()
    rho = (dot / scale).clamp(-1 + 1e-12, 1 - 1e-12)
    h = ((1 - rho**2).sqrt() + rho * (math.pi - torch.arccos(rho))) / math.pi
    return ((w2 + y2) / 2 - scale * h).sum() / (w2.sum() / 2)


def quadrature_error(name: str, batch_norm=None, num_nodes: int = 24):
    """A function (matrix, product, rows) -> relative function error by a Gauss-Hermite product rule; differentiable.

    Only as good as the rule, a few digits at a kink: use it to climb, not to judge.
    """
    node, weight = hermegauss(num_nodes)
    weight = torch.from_numpy(weight / weight.sum())
    z, u = torch.from_numpy(node)[:, None], torch.from_numpy(node)[None, :]
    mass = weight[:, None] * weight[None, :]
    function = ACTIVATIONS[name].function

    def error(matrix, product, rows=1):
        w, y = (x.reshape(-1, rows * x.shape[1]) for x in (matrix, product))
        w_norm = w.square().sum(1).clamp_min(1e-30).sqrt()[:, None, None]
        y_norm = y.square().sum(1).clamp_min(1e-30).sqrt()[:, None, None]
        rho = ((w * y).sum(1)[:, None, None] / (w_norm * y_norm)).clamp(-1 + 1e-12, 1 - 1e-12)
        shift = 0.0
        if batch_norm is not None:
            w_norm, shift = (x.double()[:, None, None] for x in batch_norm)
            y_norm = w_norm
        wanted = function(w_norm * z + shift)
        got = function(y_norm * (rho * z + (1 - rho**2).sqrt() * u) + shift)
        return ((wanted - got).square() * mass).sum() / (wanted.square() * mass).sum()

    return error


def lbfgs_factors(matrix: torch.Tensor, rank: int, error, num_starts: int, generator, rows: int = 1):
    """The pair (left, right) of least `error(matrix, left @ right, rows)` that L-BFGS finds from random starts."""
    matrix = matrix.double()
    m, n = matrix.shape
    best, best_error = None, math.inf
    for _ in range(num_starts):
        right = torch.linalg.qr(torch.randn(n, rank, generator=generator, dtype=torch.float64))[0].mT.contiguous()
        left = matrix @ right.mT + 1e-3 * torch.randn(m, rank, generator=generator, dtype=torch.float64)
        parts = [left.requires_grad_(), right.requires_grad_()]
        optimizer = torch.optim.LBFGS(
            parts, max_iter=150, history_size=20, line_search_fn="strong_wolfe", tolerance_change=1e-10
        )

        def closure(parts=parts, optimizer=optimizer):
            optimizer.zero_grad()
            value = error(matrix, parts[0] @ parts[1], rows)
            value.backward()
            return value

        optimizer.step(closure)
        reached = float(error(matrix, *_product(parts), rows))
        if reached < best_error:
            best, best_error = tuple(x.detach() for x in parts), reached
    return best


def _product(parts) -> tuple[torch.Tensor]:
    return ((parts[0] @ parts[1]).detach(),)
