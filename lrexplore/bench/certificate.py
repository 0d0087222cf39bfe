"""How close the floor is, how long it takes, and whether it is ever above a true optimum.

Ends with a table of every bar, what was measured and a verdict. The layers of EfficientNet-Lite0 need the extra
`pretrained`.
"""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from math import pi
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lrexplore.bench.init import pinned, processor
from lrexplore.disk.whole_file import write_whole
from lrexplore.init import Problem, initialize
from lrexplore.linalg import rank_from_scale
from lrexplore.proof.certificate import certificate, floor_curve, lower_bound
from lrexplore.proof.chords import relu_gain
from lrexplore.proof.provable import provable

SHARES = (0.02, 0.05, 0.1, 0.15, 0.3, 0.5, 0.7, 0.9, 0.97)
GAUSSIAN = ((64, 256), (256, 1024), (512, 4608), (64, 64), (512, 512), (256, 32))
GAUSSIAN_BARS = tuple(f"Gaussian {m} x {n}" for m, n in GAUSSIAN[:3])
LITE0_LAYERS = (1, 2, 3, 6, 10, 13, 17, 22, 27, 32)


class Bar(NamedTuple):
    """What is asked for, the worst that was `measured` and where, and the `limit` it must not be above."""

    what: str
    measured: float
    limit: float
    unit: str
    where: str

    @property
    def verdict(self) -> str:
        """ok or ABOVE."""
        return "ok" if self.measured <= self.limit else "ABOVE"


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


def gaps(count: int) -> list[Bar]:
    """Prints error reached, floor, relative gap and seconds of each matrix and rank; the worst gaps as bars."""
    worst: dict[tuple[str, float], tuple[float, str]] = {}
    for name, weight in matrices():
        small = min(len(weight), weight[0].numel())
        for rank in dict.fromkeys(rank_from_scale((small, small), share) for share in SHARES):
            if rank == small:
                continue
            start = perf_counter()
            proof = certificate(weight, initialize(weight, rank))
            print(
                f"{name:<34} rank {rank:>4} = {rank / small:4.2f}  error {proof.error:.6f}  "
                f"floor {proof.lower_bound:.6f}  gap {100 * proof.gap:6.3f} %  {perf_counter() - start:5.2f} s",
                flush=True,
            )
            group = name if name in GAUSSIAN_BARS else "other Gaussian" if "Gaussian" in name else "Lite0 layers"
            key = group, _gap_limit(rank / small, group)
            worst[key] = max(worst.get(key, (0.0, "")), (100 * proof.gap, f"{name}, rank {rank}"))
    return [
        Bar(f"gap, {group}, {'r/n <= .15' if limit == 0.5 else 'r/n <= .5' if limit == 3 else 'any r'}", *proof)
        for (group, limit), (gap, where) in worst.items()
        for proof in [(gap, limit, "%", where)]
    ]


def _gap_limit(share: float, group: str) -> float:
    """In per cent; outside the matrices that were named in advance it is 6 at every rank."""
    if group == "other Gaussian" or share > 0.5:
        return 6.0
    return 0.5 if share <= 0.15 else 3.0


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


def violations(count: int) -> list[Bar]:
    """Counts floors of random small problems that are above what exhaustive search reaches."""
    generator, broken, loosest = torch.Generator().manual_seed(0), 0, 0.0
    for number in range(count):
        n = 2 + number % 2
        m = int(torch.randint(2, 13, (), generator=generator))
        rank = 1 if n == 2 else 1 + number // 2 % 2
        weight = torch.randn(m, n, generator=generator, dtype=torch.float64)
        weight = weight * torch.rand(n, generator=generator, dtype=torch.float64)
        best, floor = best_error(weight, rank), lower_bound(weight, rank)
        broken += floor > best + 1e-12
        loosest = max(loosest, best - floor)
    print(f"{broken} of {count} floors above the optimum of a grid; the lowest is {loosest:.4f} below it", flush=True)
    return [Bar(f"floors above the optimum, of {count}", broken, 0, "", "m <= 12, n = 2 or 3")]


def times(count: int) -> list[Bar]:
    """Seconds of one certificate (after the factors are known) and of a floor curve of 16 ranks, 512 x 512."""
    weight, slowest = gaussian(512, 512), (0.0, "")
    for rank in (10, 51, 128, 256, 410, 480):
        factors = initialize(weight, rank)
        start, start_cpu = perf_counter(), process_time()
        proof = certificate(weight, factors)
        took, cpu = perf_counter() - start, process_time() - start_cpu
        print(f"certificate, rank {rank}: {took:.2f} s, {cpu:.2f} CPU s, gap {100 * proof.gap:.3f} %", flush=True)
        slowest = max(slowest, (took, f"rank {rank}"))
    start, start_cpu = perf_counter(), process_time()
    list(floor_curve(Problem.of(weight, "channel", "relu", None), range(16, 512, 32)))
    took, cpu = perf_counter() - start, process_time() - start_cpu
    print(f"floor curve of 16 ranks: {took:.2f} s, {cpu:.2f} CPU s", flush=True)
    return [
        Bar("certificate, 512 x 512, one rank", slowest[0], 2.0, "s", slowest[1]),
        Bar("floor curve, 512 x 512, 16 ranks", took, 10.0, "s", f"{cpu:.1f} CPU s"),
    ]


def search(count: int) -> list[Bar]:
    """Prints what branch and bound proves, its cells and seconds."""
    cases = [(m, 6, 1, 1e-3) for m in (12, 50, 200, 1000, 2000)] + [(20, 4, 2, 1e-2), (4, 4, 2, 1e-2)]
    bars = []
    for m, n, rank, eps in cases:
        weight = torch.eye(n) if m == n else gaussian(m, n)
        start, start_cpu = perf_counter(), process_time()
        proven = provable(weight, rank, eps=eps)
        took, left = perf_counter() - start, proven.error - proven.lower_bound
        name = f"provable, {m} x {n}, rank {rank}"
        cpu = process_time() - start_cpu
        print(
            f"{name}: error {proven.error:.6f}, floor {proven.lower_bound:.6f}, {proven.cells} cells, "
            f"{took:.1f} s, {cpu:.1f} CPU s",
            flush=True,
        )
        bars.append(Bar(f"{name}: error - floor in 60 s", left, eps + 1e-9, "", f"{proven.cells} cells, {took:.1f} s"))
    return bars


PARTS = {"gaps": gaps, "violations": violations, "times": times, "search": search}


def main(argv: Sequence[str] | None = None) -> int:
    """0 once everything is measured and printed, whatever the numbers are."""
    parser = argparse.ArgumentParser("lrexplore bench certificate", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)} (all)")
    parser.add_argument("--count", type=int, default=10_000, help="small problems solved by exhaustive search (10000)")
    parser.add_argument("--threads", type=int, default=2, help="threads (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    options = parser.parse_args(argv)
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"`part` must be one of {', '.join(PARTS)}, got {unknown[0]!r}. Leave it out to measure all.")
    print(f"{processor()}, {options.threads} threads, torch {torch.__version__}")
    print(f"load average (1 min) {os.getloadavg()[0]:.2f} before; what else runs counts in\n")
    with pinned(options.threads):
        bars = [bar for part in options.parts or PARTS for bar in PARTS[part](options.count)]
    print(f"\n{'bar':<52}{'measured':>10}{'at most':>10}    {'':<6}worst at")
    for bar in bars:
        print(f"{bar.what:<52}{bar.measured:>10.4g}{bar.limit:>10.4g} {bar.unit:<2} {bar.verdict:<6}{bar.where}")
    print(f"load average (1 min) {os.getloadavg()[0]:.2f} after")
    if options.json:
        rows = [{**bar._asdict(), "verdict": bar.verdict} for bar in bars]
        write_whole(options.json, json.dumps(rows, indent=2), name="--json")
    return 0
