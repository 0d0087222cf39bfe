"""A grid of runs: every combination once, side by side, and those that are done are skipped."""

import argparse
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from lrexplore.disk.paths import made_folder
from lrexplore.recipes.arguments import command_line, parser
from lrexplore.recipes.config import HEAD_CHOICES, Config, kinds
from lrexplore.recipes.names import default_name
from lrexplore.recipes.published import configure
from lrexplore.records import Run
from lrexplore.training.built import check_choices, import_environment

AXES = (
    "model", "initializer", "rank_scale", "rank_ratio", "form", "sparsity", "prune", "scheme", "decay",
    "decay_strength", "lr", "seed", *HEAD_CHOICES,
)  # fmt: skip


def grid(recipe: str = "short", **choices) -> list[Config]:
    """One configuration for every combination of the axes (`AXES`) that are given as lists; each has its name.

    `decay="normalized"` stands for the third run of the normalization experiment (Khodak et al. 2021,
    arXiv:2105.01029, section 3): it keeps the norms that the run with `decay="frobenius"` of the same choices
    had, which therefore is in the grid and comes first. Raises ValueError for choices that make no sense.
    """
    lists = {key: list(value) for key, value in choices.items() if key in AXES and isinstance(value, Sequence)
             and not isinstance(value, str)}  # fmt: skip
    fixed = {key: value for key, value in choices.items() if key not in lists}
    experiment = "normalized" in lists.get("decay", [fixed.get("decay")])
    configs = []
    for values in itertools.product(*lists.values()):
        chosen = {**fixed, **dict(zip(lists, values, strict=True)), "resume": True}
        if experiment and chosen["decay"] == "frobenius":
            chosen["record_norms"] = True
        if chosen.get("decay") == "normalized":
            pair = configure(recipe, **{**chosen, "decay": "frobenius", "record_norms": True})
            pair = pair.with_name(_name(pair, lists))
            chosen["norms_from"] = str(Path(pair.runs, pair.name))
            configs.append(pair)
        config = configure(recipe, **chosen)
        configs.append(config.with_name(_name(config, lists)))
    for config in configs:
        check_choices(config)
    unique = {config.name: config for config in configs}
    return sorted(unique.values(), key=lambda config: config.norms_from is not None)


def sweep(
    configs: list[Config], *, jobs: int = 1, say: Callable[[str], None] = print, cluster: str | None = None
) -> list[str]:
    """The names of the runs that failed. Runs that are done are skipped, killed ones go on where they stopped.

    `jobs` run at a time, each in a process of its own with its share of the cores. Of the GPUs that
    CUDA_VISIBLE_DEVICES leaves every run has one for itself: jobs beyond their number wait for a free one.
    `cluster="ray"` hands them to Ray's workers instead (extra `ray`; the folder of runs must be one that all of them
    see). Each run's output is in its log.txt.
    """
    if jobs < 1:
        raise ValueError(f"`jobs` must be at least 1, got {jobs}. Use 1 for one run after the other.")
    failed: list[str] = []
    waves = [[c for c in configs if c.norms_from is None], [c for c in configs if c.norms_from is not None]]
    for wave in waves:
        todo = [config for config in wave if Run(Path(config.runs, config.name)).status["state"] != "done"]
        for config in wave:
            if config not in todo:
                say(f"{config.name}: done before")
        runner = _on_ray if cluster == "ray" else _in_a_pool
        for config, code in runner(todo, jobs):
            say(f"{config.name}: {'done' if code == 0 else _reason(config, code)}")
            if code != 0:
                failed.append(config.name)
    return failed


def main(arguments: Sequence[str] | None = None, program: str = "lrexplore sweep") -> int:
    """Exit status: 0 where every run is done, 1 where one failed, 130 where a person stopped it."""
    made = parser(program)
    made.description = (
        "Train a grid of runs and skip what is done. These take several values, with commas: "
        + ", ".join(axis.replace("_", "-") for axis in AXES)
        + ". The normalization experiment is `--decay none,frobenius,normalized`."
    )
    for action in made._actions:
        if action.dest in AXES:
            action.type, action.choices, action.metavar = _listed(action.dest), None, "A,B,..."
    made.add_argument("--jobs", type=int, default=1, help="runs at a time on this machine")
    made.add_argument("--cluster", choices=["ray"], help="hand the runs to Ray's workers")
    options = vars(made.parse_args(arguments))
    jobs, cluster = options.pop("jobs"), options.pop("cluster")
    choices = {key: value for key, value in options.items() if value is not None}
    try:
        failed = sweep(grid(choices.pop("recipe", "short"), **choices), jobs=jobs, cluster=cluster)
    except (ValueError, OSError, ImportError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: stopped; the same command goes on where the runs are", file=sys.stderr)
        return 130
    return 1 if failed else 0


def _name(config: Config, lists: dict) -> str:
    """The name of its choices, and those axes that are not in it."""
    more = [f"{axis}{getattr(config, axis)}" for axis in ("scheme", "decay_strength", "lr") if axis in lists]
    prefix = f"{config.name}-" if config.name else ""
    return "-".join([prefix + default_name(config), *more])


def _listed(axis: str) -> Callable[[str], list]:
    kind = kinds()[axis]

    def values(text: str) -> list:
        try:
            return [kind(part) for part in text.split(",")]
        except ValueError:
            number = "whole numbers" if kind is int else "numbers"
            raise argparse.ArgumentTypeError(f"must be {number} with commas between them, got {text!r}") from None

    return values


def _command(config: Config) -> list[str]:
    return [sys.executable, "-m", "lrexplore.training", *command_line(config)]


def _in_a_pool(configs: list[Config], jobs: int):
    threads = str(max(1, (os.cpu_count() or 1) // jobs))

    gpus, free = _gpus(), SimpleQueue()
    for gpu in gpus:
        free.put(gpu)

    def work(config: Config) -> int:
        environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
        if not gpus or config.device == "cpu":
            return _logged(config, environment)
        gpu = free.get()
        try:
            return _logged(config, {**environment, "CUDA_VISIBLE_DEVICES": gpu})
        finally:
            free.put(gpu)

    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(work, config): config for config in configs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except KeyboardInterrupt:  # the runs got the signal too, and end with a checkpoint
            pool.shutdown(cancel_futures=True)
            raise


def _on_ray(configs: list[Config], jobs: int):
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "`cluster` 'ray' needs Ray, got an environment without it. Install the extra: pip install -e '.[ray]'"
        ) from error
    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    options = {"num_cpus": 1, "num_gpus": 1 if ray.cluster_resources().get("GPU") else 0}
    remote = ray.remote(**options)(_logged)
    waiting = {remote.remote(config, None): config for config in configs}
    while waiting:
        ready, _ = ray.wait(list(waiting))
        yield waiting.pop(ready[0]), ray.get(ready[0])


def _logged(config: Config, environment: dict[str, str] | None) -> int:
    folder = made_folder(Path(config.runs, config.name), "runs")
    with open(folder / "log.txt", "ab") as log:
        return subprocess.run(
            _command(config), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **import_environment(config), **(environment or {})},
        ).returncode  # fmt: skip


def _reason(config: Config, code: int) -> str:
    log = Path(config.runs, config.name, "log.txt")
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it printed nothing"]
    return "stopped" if code == 130 else f"failed: {lines[-1]}"


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count, visible = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(number) for number in range(count)] if visible is None else visible.split(",")[:count]
