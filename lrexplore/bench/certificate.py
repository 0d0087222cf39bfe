"""How close the floor is, how long it takes, and whether it is ever above a true optimum.

    python -m lrexplore.bench.certificate gaps | violations | times | search

The layers of EfficientNet-Lite0 need the extra `pretrained`.
"""

import sys
from collections.abc import Iterator
from math import pi
from time import perf_counter

import torch
from torch import Tensor, nn

from lrexplore.init import Problem, initialize
from lrexplore.init.certificate import certificate, floor_curve, lower_bound
from lrexplore.init.chords import relu_gain
from lrexplore.init.provable import provable
from lrexplore.linalg import rank_from_scale

SHARES = (0.02, 0.05, 0.1, 0.15, 0.3, 0.5, 0.7, 0.9, 0.97)
GAUSSIAN = ((64, 256), (256, 1024), (512, 4608), (64, 64), (512, 512), (256, 32))
LITE0_LAYERS = (1, 2, 3, 6, 10, 13, 17, 22, 27, 32)


def gaussian(m: int, n: int, seed: int = 0) -> Tensor:
    """Independent standard normal entries, float32."""
    return torch.randn(m, n, generator=torch.Generator().manual_seed(seed))


def matrices() -> Iterator[tuple[str, Tensor]]:
    """Gaussian matrices, then ten layers of a trained EfficientNet-Lite0, with their names."""
    for m, n in GAUSSIAN:
        yield f"Gaussian {m} x {n}", gaussian(m, n)
    from lrexplore.models import load_model

    model = load_model("efficientnet_lite0", "imagenet")
    modules = [x for x in model.named_modules() if isinstance(x[1], nn.Conv2d | nn.Linear)]
    whole = [(name, x.weight.detach()) for name, x in modules if getattr(x, "groups", 1) == 1]
    for name, weight in (whole[index] for index in LITE0_LAYERS):
        yield f"{name} {weight.shape[0]} x {weight[0].numel()}", weight


def gaps() -> None:
    """Prints, for each matrix and rank: error reached, floor, relative gap, seconds."""
    for name, weight in matrices():
        small = min(len(weight), weight[0].numel())
        for rank in dict.fromkeys(rank_from_scale((small, small), share) for share in SHARES):
            if rank == small:
                continue
            start = perf_counter()
            factors = initialize(weight, rank)
            found = certificate(weight, factors)
            print(
                f"{name:<34} rank {rank:>4} = {rank / small:4.2f}  error {found.error:.6f}  "
                f"floor {found.lower_bound:.6f}  gap {100 * found.gap:6.3f} %  {perf_counter() - start:5.2f} s",
                flush=True,
            )


def best_error(weight: Tensor, rank: int, num_points: int = 4000) -> float:
    """Least function error of a weight (m, n), n = 2 or 3, over a fine grid of subspaces: at least the optimum."""
    turn = torch.arange(num_points, dtype=torch.float64) + 0.5
    if weight.shape[1] == 2:
        lines = torch.stack([torch.cos(turn * pi / num_points), torch.sin(turn * pi / num_points)], 1)
    else:
        z, spiral = turn / num_points, turn * (pi * (1 + 5**0.5))
        radius = (1 - z**2).sqrt()
        lines = torch.stack([radius * torch.cos(spiral), radius * torch.sin(spiral), z], 1)
    norms = weight.square().sum(1, keepdim=True)
    squares = ((weight @ lines.mT) ** 2 / norms).clamp(0, 1)
    kept = relu_gain(squares if rank == 1 else 1 - squares)
    return float(1 - (norms * kept).sum(0).max() / norms.sum())


def violations(count: int = 10_000) -> int:
    """How many floors of random small problems are above what exhaustive search reaches; prints the count."""
    generator, found, loosest = torch.Generator().manual_seed(0), 0, 0.0
    for number in range(count):
        n = 2 + number % 2
        m = int(torch.randint(2, 13, (), generator=generator))
        rank = 1 if n == 2 else 1 + number // 2 % 2
        weight = torch.randn(m, n, generator=generator, dtype=torch.float64)
        weight = weight * torch.rand(n, generator=generator, dtype=torch.float64)
        best, floor = best_error(weight, rank), lower_bound(weight, rank)
        found += floor > best + 1e-12
        loosest = max(loosest, best - floor)
    print(f"{found} of {count} floors above the optimum of a grid; the lowest is {loosest:.4f} below it")
    return found


def times() -> None:
    """Prints seconds of one certificate (after the factors are known) and of a floor curve of 16 ranks, 512 x 512."""
    weight = gaussian(512, 512)
    for rank in (10, 51, 128, 256, 410, 480):
        factors = initialize(weight, rank)
        start = perf_counter()
        found = certificate(weight, factors)
        print(
            f"certificate, rank {rank}: {perf_counter() - start:.2f} s, gap {100 * found.gap:.3f} %",
            flush=True,
        )
    start = perf_counter()
    curve = list(floor_curve(Problem.of(weight, "channel", "relu", None), range(16, 512, 32)))
    print(f"floor curve of {len(curve)} ranks: {perf_counter() - start:.2f} s on {torch.get_num_threads()} cores")


def search() -> None:
    """Prints what branch and bound proves, its cells and seconds."""
    cases = [(12, 6, 1, 1e-3), (50, 6, 1, 1e-3), (200, 6, 1, 1e-3), (20, 4, 2, 1e-2), (4, 4, 2, 1e-2)]
    for m, n, rank, eps in cases:
        weight = torch.eye(n) if m == n else gaussian(m, n)
        start = perf_counter()
        found = provable(weight, rank, eps=eps)
        print(
            f"{m} x {n}, rank {rank}: error {found.error:.6f}, floor {found.lower_bound:.6f} (eps {eps}), "
            f"{found.cells} cells, {perf_counter() - start:.1f} s",
            flush=True,
        )


COMMANDS = {"gaps": gaps, "violations": violations, "times": times, "search": search}

if __name__ == "__main__":
    for command in sys.argv[1:] or COMMANDS:
        COMMANDS[command]()
