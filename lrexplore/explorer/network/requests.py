"""What a person asks for by a button of the Network tab, as long work that says what came of it."""

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from lrexplore.disk.paths import made_folder
from lrexplore.explorer.network.compute import Allocation, Progress
from lrexplore.explorer.network.judge import Judge
from lrexplore.explorer.network.readouts import interval_text
from lrexplore.explorer.network.saving import SUFFIX, places, save_both
from lrexplore.explorer.network.state import NetworkState, Wish
from lrexplore.explorer.own_images import OwnImages, said
from lrexplore.explorer.samples import Origin
from lrexplore.network.files import save

NOTHING_SAVED = 0.995


@dataclass(frozen=True)
class Request:
    """`run(progress)` does what was asked for and says what came of it.

    What stops it has it begin again. One with a `wish` is about that choice alone: it is given up for another one.
    One that `is_first` is done before all else, and says itself what fails.
    """

    run: Callable[[Progress], str]
    wish: Wish | None = None
    is_first: bool = False


def searching(state: NetworkState, judge: Judge, lock: AbstractContextManager, least: float) -> Request:
    """Sets the smallest budget found whose network agrees on a share of at least `least` of the samples."""
    wish = state.wish

    def run(progress: Progress) -> str:
        ratio = judge.smallest(wish, least, progress)
        verdict = judge.verdict(replace(wish, ratio=ratio), progress)
        with lock:
            progress(1, 1, "found")
            state.ratio = ratio
        seen = f"on {verdict.agreement:.1%} of {verdict.num_counted}, {interval_text(verdict)}"
        if ratio >= NOTHING_SAVED:
            return (
                f"no smaller network was found that agrees on {least:.0%} of the samples ({seen}). What would help: "
                "more inputs of your own to fit to, fine-tuning the smaller network, or asking for less agreement"
            )
        return f"{ratio:.3g} is the smallest budget found whose network agrees on {least:.0%} of the samples: {seen}"

    return Request(run, wish)


def taking(
    images: Callable[..., OwnImages],
    origin: Origin,
    model: nn.Module,
    take: Callable[[Origin], None],
    fail: Callable[[Exception], None],
) -> Request:
    """Reads images and has them taken as the person's inputs; what cannot be goes to `fail`, and nothing changes."""

    def run(progress: Progress) -> str:
        try:
            other = origin.with_images(model, images, progress)
        except (ValueError, OSError) as error:
            fail(error)
            return ""
        progress(1, 1, "read")
        take(other)
        return said(other)

    return Request(run, is_first=True)


def measuring(state: NetworkState, allocation: Allocation) -> Request:
    """Times both networks in turns."""
    wish = state.wish

    def run(progress: Progress) -> str:
        allocation.measure(wish, progress)
        return "latency measured: median of rounds in turns on this device"

    return Request(run)


def tuning(state: NetworkState, allocation: Allocation, folder: Path, start: Callable[..., str]) -> Request:
    """Writes the planned network and the one before the cut into the folder and starts a run from them by `start`,
    which takes the choices and returns the run's name. Raises ValueError at once for a network without a name."""
    wish = state.wish
    name = allocation.origin.architecture
    if name is None:
        raise ValueError(
            "`model` must be a network that lrexplore knows by name to be fine-tuned as a run, for a new process has to"
            " build it, got your own module. Use `lr.finetune(lr.factorize(model, plan=plan), loader, teacher=model)`."
        )

    def run(progress: Progress) -> str:
        network, plan = allocation.network(wish, progress), allocation.plan(wish)
        progress(0, 1, "writing")
        made_folder(folder, "runs")
        kept = plan.parameters[1] / plan.parameters[0]
        paths = (folder / f"{name}-{kept:.3g}-{n}{SUFFIX}" for n in itertools.count(1))
        path = next(path for path in paths if not path.exists())
        before = path.with_name(f"{path.stem}-before{SUFFIX}")
        save(network, path, architecture=name)
        save(allocation.model, before, architecture=name)
        linear = [module.out_features for module in allocation.model.modules() if isinstance(module, nn.Linear)]
        files = {"start": str(path.absolute()), "teacher": str(before.absolute())}
        run_name = start(model=name, classes=linear[-1] if linear else 0, **files)
        return (
            f"fine-tuning as the run {run_name}: its curve begins where the cut left the network, in the tab Training"
        )

    return Request(run, wish)


def saving(state: NetworkState, allocation: Allocation, path: str, *, overwrite: bool) -> Request:
    """Writes the factorized network and its plan; raises ValueError at once for a place that cannot be."""
    wish = state.wish
    network_path, plan_path = places(path, overwrite=overwrite)

    def run(progress: Progress) -> str:
        network = allocation.network(wish, progress)
        progress(0, 1, "writing")
        plan = allocation.plan(wish)
        return save_both(network, plan, network_path, plan_path, allocation.origin.architecture)

    return Request(run)
