"""`lrexplore bench faults`: what breaks when the world is not kind; every try ends right or with one of our errors."""

import argparse
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path

# What is tried, how often without being asked otherwise, and where it is: module, function, unit.
_TRIES = {
    "calls": (20_000, "random_calls", "random calls of the public functions with odd tensors and arguments"),
    "records": (2_000, "damaged_records", "damaged records of runs"),
    "files": (1_000, "crafted_files", "crafted checkpoints, plans, networks, calibrations and shards"),
    "disk": (60, "full_disk", "full disks, for every writer"),
    "commands": (200, "command_lines", "command lines that make no sense"),
    "kills": (200, "kills", "kills of a run that must end with the same bits"),
}
_EVENTS = 20_000
_MEMORY_BYTES = 24 * 2**30


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where no fault was found, 1 where one was: each kind is printed with the number of its first try."""
    parser = argparse.ArgumentParser("lrexplore bench faults", description=__doc__)
    chosen = (*_TRIES, "explorer")
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"any of {', '.join(chosen)} (default: all)")
    for name, (count, _, about) in _TRIES.items():
        parser.add_argument(f"--{name}", type=_count, default=count, metavar="N", help=f"{about} (%(default)s)")
    parser.add_argument("--events", type=_count, default=_EVENTS, metavar="N", help="events (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (0)")
    parser.add_argument("--first", type=_count, default=0, metavar="N", help="the number of the first try (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the faults there too")
    options = parser.parse_args(arguments)
    if unknown := [what for what in options.what if what not in chosen]:
        parser.error(f"WHAT must be of {', '.join(chosen)}, got {unknown[0]}")
    tallies = {}
    with _little_memory(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for what, campaign in _campaigns(options):
            if not options.what or what in options.what:
                tallies[what] = tally = campaign()
                print("\n".join(tally.lines()), flush=True)
    if options.json:
        from lrexplore.disk.whole_file import write_whole

        write_whole(options.json, json.dumps({what: asdict(tally) for what, tally in tallies.items()}, indent=1))
    return int(any(tally.faults for tally in tallies.values()))


def _campaigns(options: argparse.Namespace) -> Iterator[tuple[str, Callable]]:
    for name, (_, module, _) in _TRIES.items():
        count = getattr(options, name)
        yield name, partial(_run, f"lrexplore.bench.faults.{module}", module, count, options.seed, options.first)
    module = "lrexplore.bench.faults.explorer_events"
    yield "explorer", partial(_run, module, "explorer_events", options.events, options.seed)


def _run(module: str, function: str, *arguments: int):
    return getattr(import_module(module), function)(*arguments)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number >= 0, got {text!r}")
    return int(text)


@contextmanager
def _little_memory() -> Iterator[None]:
    """In it the process may take so much address space: a call that wants more fails here, and not the machine."""
    try:
        import resource
    except ImportError:  # not on Windows
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = before[1] if before[1] != resource.RLIM_INFINITY and before[1] < _MEMORY_BYTES else _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
