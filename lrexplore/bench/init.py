"""`lrexplore bench init`: what the initializers cost on a whole network, against full SVDs in the same process."""

import argparse
import json
import os
import platform
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor

from lrexplore.disk.whole_file import write_whole
from lrexplore.dual import BatchNorm, function_error
from lrexplore.init import initialize
from lrexplore.linalg import Factors, matricize, matrix_shape, rank_from_scale
from lrexplore.models import load_model
from lrexplore.network import find_layers
from lrexplore.network.layers import batch_norm_of, weights_of

ALWAYS = ("independent", "spectral", "rescaled", "function")
DRIVERS = ("gesvd", "gesvdj", "gesvda")
BAR = 0.40  # of full SVDs on a CPU
# Relative: below it, two errors computed from float32 factors are one.
ROUNDING = 1e-6


class Task(NamedTuple):
    """One matrix of the network: its layer, its weight, and what follows it."""

    name: str
    weight: Tensor
    activation: str
    batch_norm: BatchNorm | None

    def run(self, initializer: str, rank_scale: float, scheme: str) -> Factors:
        """The factors."""
        rank = rank_from_scale(matrix_shape(self.weight.shape, scheme), rank_scale)
        return initialize(
            self.weight, rank, initializer=initializer, scheme=scheme,
            activation=self.activation, batch_norm=self.batch_norm,
        )  # fmt: skip

    def error(self, factors: Factors) -> float:
        """The function error of the factors."""
        return function_error(self.weight, factors, activation=self.activation, batch_norm=self.batch_norm)


def tasks(model: torch.nn.Module, follows: str) -> list[Task]:
    """Every ungrouped linear layer and convolution in float32; `follows` "network" or one activation for all."""
    listed = []
    for layer in find_layers(model):
        if layer.kind in ("linear", "conv") and layer.groups == 1:
            weight = weights_of(model, layer)[0].float()
            if follows == "network":
                listed.append(Task(layer.name, weight, layer.follows.activation, batch_norm_of(model, layer)))
            else:
                listed.append(Task(layer.name, weight, follows, None))
    return listed


def full_svds(work: list[Task], scheme: str, driver: str | None = None) -> None:
    """What all is measured against: `torch.linalg.svd` of every matrix, by cuSOLVER's `driver` on a GPU."""
    for task in work:
        torch.linalg.svd(matricize(task.weight, scheme), full_matrices=False, driver=driver)


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock seconds of one call, a GPU's work included."""
    _wait()
    start = perf_counter()
    run()
    _wait()
    return perf_counter() - start


def svd_times(work: list[Task], scheme: str) -> dict[str, float]:
    """Seconds of full SVDs of the network on a GPU, by each of cuSOLVER's drivers."""
    times = {}
    for driver in DRIVERS:
        torch.linalg.svd(torch.eye(8, device=work[0].weight.device), driver=driver)
        times[driver] = seconds(partial(full_svds, work, scheme, driver))
    return times


def _wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def costs(
    work: list[Task], initializer: str, rank_scale: float, scheme: str, repeats: int, svd_s: float | None = None
) -> dict:
    """Seconds and ratio of the initializer to full SVDs; medians, and the ratio of every pair.

    The two run in turn, unless `svd_s` says what the SVDs take.
    """

    def run():
        for task in work:
            task.run(initializer, rank_scale, scheme)

    run()
    pairs = [(svd_s or seconds(lambda: full_svds(work, scheme)), seconds(run)) for _ in range(repeats)]
    ratios = [ours / svd for svd, ours in pairs]
    return {
        "initializer": initializer,
        "rank_scale": rank_scale,
        "svd_s": median(svd for svd, _ in pairs),
        "initializer_s": median(ours for _, ours in pairs),
        "ratio": median(ratios),
        "ratios": ratios,
    }


def layer_errors(work: list[Task], rank_scale: float, scheme: str) -> list[dict]:
    """Function error of each layer under spectral, rescaled and function."""
    names = ("spectral", "rescaled", "function")
    return [
        {"layer": task.name, **{name: task.error(task.run(name, rank_scale, scheme)) for name in names}}
        for task in work
    ]


def verdicts(errors: list[dict]) -> dict[str, int]:
    """How many layers `function` improves, leaves as `rescaled` has them, and makes worse than either other."""
    above = sum(x["function"] > min(x["rescaled"], x["spectral"]) * (1 + ROUNDING) + ROUNDING for x in errors)
    equal = sum(abs(x["function"] - x["rescaled"]) <= ROUNDING * (1 + x["rescaled"]) for x in errors)
    return {"layers": len(errors), "above": above, "equal": equal}


@contextmanager
def pinned(num_threads: int):
    """Runs its block on so many threads, BLAS included where threadpoolctl is there."""
    before = torch.get_num_threads()
    try:
        from threadpoolctl import threadpool_limits as limits
    except ModuleNotFoundError:
        limits = nullcontext
    torch.set_num_threads(num_threads)
    try:
        with limits(num_threads):
            yield
    finally:
        torch.set_num_threads(before)


def processor() -> str:
    """The name of the CPU, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("lrexplore bench init", description=__doc__)
    parser.add_argument("--model", default="resnet50", help="a name or path for lr.load_model (resnet50)")
    parser.add_argument("--weights", help="its weights (random, seed 0)")
    parser.add_argument("--rank-scale", type=float, nargs="+", default=[0.1, 0.25], help="in (0, 1] (0.1 0.25)")
    parser.add_argument("--scheme", choices=["channel", "spatial"], default="channel")
    parser.add_argument("--follows", default="relu", help="an activation after every layer, or `network` (relu)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where the mathematics runs (cpu)")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of runs a measurement (5)")
    parser.add_argument("--threads", type=int, default=2, help="threads (2)")
    parser.add_argument("--sampled", action="store_true", help="measure `sampled` too: minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    return parser


def _checked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in ("repeats", "threads"):
        value = getattr(options, name)
        if value < 1:
            parser.error(f"`--{name}` must be 1 or more, got {value}. Leave it out for the default.")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("`--device` must be one that this machine has, got cuda without a CUDA device. Use cpu.")
    for scale in options.rank_scale:
        rank_from_scale((1, 1), scale)
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """0 once everything is measured and printed, whatever the numbers are."""
    options = _checked(argv)
    torch.manual_seed(0)
    work = tasks(load_model(options.model, options.weights).to(options.device), options.follows)
    on_gpu = options.device == "cuda"
    processed_by = torch.cuda.get_device_name() if on_gpu else f"{processor()}, {options.threads} threads"
    where = {
        "device": processed_by,
        "model": options.model,
        "matrices": len(work),
        "scheme": options.scheme,
        "follows": options.follows,
        "threads": options.threads,
        "cpu": processor(),
        "torch": torch.__version__,
        "load_before": os.getloadavg(),
    }
    print(f"{options.model}: {len(work)} matrices, {options.scheme}, followed by {options.follows}, float32")
    print(f"{processed_by}, torch {torch.__version__}")
    print(f"load average (1 min) {where['load_before'][0]:.2f} before; what else runs counts in")
    svd_s = None
    if on_gpu:
        where["svd_s"] = svd_times(work, options.scheme)
        svd_s = min(where["svd_s"].values())
        listed = ", ".join(f"{driver} {took:.2f}" for driver, took in where["svd_s"].items())
        print(f"full SVDs, seconds by cuSOLVER's driver (one run each, after one of a small matrix): {listed}")
    turns = "the fastest SVDs" if on_gpu else "pairs of runs, full SVDs and initializer in turn"
    print(f"medians of {options.repeats} {'runs, beside ' if on_gpu else ''}{turns}\n")
    print(f"{'rank scale':>10}  {'initializer':<12}{'full SVDs s':>12}{'initializer s':>15}{'ratio':>8}{'bar':>7}")
    measured, checked = [], []
    with pinned(options.threads), torch.no_grad():
        for scale in options.rank_scale:
            for name in (*ALWAYS, "sampled") if options.sampled else ALWAYS:
                # a fit by Adam takes minutes, and its ratio is nowhere near one
                repeats = 1 if name == "sampled" else options.repeats
                row = costs(work, name, scale, options.scheme, repeats, svd_s)
                measured.append(row)
                judged = name == "function" and not on_gpu
                bar = f"{BAR:>7.2f}  {'ok' if row['ratio'] <= BAR else 'ABOVE'}" if judged else ""
                line = f"{scale:>10}  {name:<12}{row['svd_s']:>12.2f}{row['initializer_s']:>15.3f}"
                print(f"{line}{row['ratio']:>8.3f}{bar}", flush=True)
        print("\nfunction error, layer by layer")
        for scale in options.rank_scale:
            errors = layer_errors(work, scale, options.scheme)
            verdict = verdicts(errors)
            checked.append({"rank_scale": scale, **verdict, "errors": errors})
            print(
                f"{scale:>10}  `function` above `rescaled` or `spectral` in {verdict['above']} of {verdict['layers']}"
                f" layers, equal to `rescaled` in {verdict['equal']}"
            )
    where["load_after"] = os.getloadavg()
    print(f"load average (1 min) {where['load_after'][0]:.2f} after")
    if options.json:
        write_whole(options.json, json.dumps({**where, "costs": measured, "checks": checked}, indent=2), name="--json")
    return 0
