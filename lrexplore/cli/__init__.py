"""The command `lrexplore`: lab, doctor, train, sweep, allocate, factorize, bench."""

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from lrexplore import __version__

_NOTEBOOK = Path("notebooks", "01-explorer.ipynb")
_TRAIN = "train a network, low-rank or not, and record how it goes"
_ALLOCATE = "choose the rank of every layer of a network under a budget"
_FACTORIZE = "factorize a network, compare it with the original, save it"
_COMPARE = "how far a factorized network still says what the original says, on images"
_BENCHES = {
    "init": "cost of each initializer on a whole network against full SVDs",
    "decay": "cost of Frobenius decay in a training step",
    "step": "a training step and a prediction, low-rank and not: time, memory, multiply-adds",
    "pipeline": "reading and cutting JPEG images, beside the rate of a training step",
    "whitened": "errors on held-out photographs: spectral, whitened, refined",
    "ranks": "calibration, curves, allocation and what the factorized network still says",
    "tensors": "Tucker, tensor trains and CP beside pairs at equal parameters: errors, times, decay in a step",
    "budget": "runs of one budget: what each way learned and costs",
    "certificate": "how tight and how fast the floor is, and whether it ever fails",
    "models": "120 networks of others: layers, multiply-adds, full rank, saved, loaded, exported",
    "records": "what following a live run of 100,000 logged steps costs the kernel",
    "explorer": "time from the rank slider to the repainted plots, in the browser",
    "faults": "kills, full disks, damaged records, crafted files, odd calls: whether each ends right or in words",
}


def lab_command(arguments: Sequence[str]) -> list[str]:
    """The command that starts JupyterLab on the explorer's notebook; `arguments` go on to it and win.

    JupyterLab's own defaults stay: it listens on localhost only and asks for its token. Its news feed and
    update check are off, so that nothing is asked of the internet. Raises FileNotFoundError outside a clone.
    """
    clone = Path(__file__).resolve().parents[2]
    root = next((folder for folder in (clone, Path.cwd()) if (folder / _NOTEBOOK).is_file()), None)
    if root is None:
        raise FileNotFoundError(
            f"`lrexplore lab` must find {_NOTEBOOK} in the clone, got none in {clone} or {Path.cwd()}."
            " Run it in a clone of the project, or open a notebook of your own with `jupyter lab`."
        )
    notebook = f"/lab/tree/{_NOTEBOOK.as_posix()}"
    options = [
        *(f"--ServerApp.root_dir={root}", f"--LabApp.default_url={notebook}"),
        *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
    ]
    if getattr(os, "geteuid", lambda: 1)() == 0:
        options.append("--allow-root")  # everybody is root in a container, where JupyterLab would not start
    given = {argument.partition("=")[0] for argument in arguments}
    options = [option for option in options if option.partition("=")[0] not in given]
    return [sys.executable, "-m", "jupyterlab", *options, *arguments]


def lab_environment() -> dict[str, str]:
    """The variables that kernels get in addition: torch's threads do not spin while they wait for one another.

    Kernel and browser share the cores; a thread that spins keeps the one it waits for from running. Nothing, where
    any of these waits is set already.
    """
    if any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")):
        return {}
    return {"OMP_WAIT_POLICY": "PASSIVE"}


def _lab(options: argparse.Namespace, rest: list[str]) -> int:
    command = lab_command(rest)
    sys.stdout.flush()
    os.execve(command[0], command, {**os.environ, **lab_environment()})


def _doctor(options: argparse.Namespace, rest: list[str]) -> int:
    from lrexplore.doctor import main

    return main(as_json=options.json)


def _elsewhere(module: str, function: str = "main", **options) -> Callable[[argparse.Namespace, list[str]], int]:
    """A command whose arguments go on to a function of another module, which is imported when it runs."""

    def run(_: argparse.Namespace, rest: list[str]) -> int:
        return getattr(import_module(module), function)(rest, **options) or 0

    return run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("lrexplore", description="Low rank in networks: explore, check, measure.")
    parser.add_argument("--version", action="version", version=f"lrexplore {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    lab = commands.add_parser(
        "lab",
        help="open the explorer's notebook in JupyterLab",
        description="Open notebooks/01-explorer.ipynb in JupyterLab. Other arguments go on to it.",
        usage="lrexplore lab [-h] [--no-browser] [--port PORT] [any argument of jupyter lab]",
        allow_abbrev=False,
    )
    lab.set_defaults(run=_lab, passes_on=True)
    doctor = commands.add_parser("doctor", help="check this environment, with the line that installs what is missing")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.set_defaults(run=_doctor, passes_on=False)
    for name, run, about in (
        ("train", _elsewhere("lrexplore.training.__main__", program="lrexplore train"), _TRAIN),
        ("sweep", _elsewhere("lrexplore.training.sweep"), "train a grid of runs, and skip what is done"),
        ("allocate", _elsewhere("lrexplore.cli.networks", "allocate"), _ALLOCATE),
        ("factorize", _elsewhere("lrexplore.cli.networks", "factorize"), _FACTORIZE),
        ("compare", _elsewhere("lrexplore.cli.networks", "compare"), _COMPARE),
    ):
        _pass_on(commands, name, run, about)
    bench = commands.add_parser("bench", help="measure on this machine")
    benches = bench.add_subparsers(required=True, metavar="what")
    for name, about in _BENCHES.items():
        _pass_on(benches, name, _elsewhere(f"lrexplore.bench.{name}"), about)
    return parser


def _pass_on(commands, name: str, run: Callable, about: str) -> None:
    """A command whose own parser answers --help."""
    made = commands.add_parser(name, help=about, add_help=False, allow_abbrev=False)
    made.set_defaults(run=run, passes_on=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 where all went well, 1 where not, 2 for arguments that make no sense, 130 if interrupted."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and not options.passes_on:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return options.run(options, rest)
    except KeyboardInterrupt:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks twice is told once
        print("lrexplore: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads the output has gone, as `head` does: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        print(f"lrexplore: {one_line(error)}", file=sys.stderr)
        if TRACEBACK in os.environ:
            traceback.print_exc()
        return 1


TRACEBACK = "LREXPLORE_TRACEBACK"


def one_line(error: BaseException) -> str:
    """What an error says, in one line; with its type and the place where it arose unless it is of a kind of ours."""
    said = " ".join(str(error).split())
    if isinstance(error, OSError | ImportError | ValueError | TypeError) and "`" in said:
        return said
    place = traceback.extract_tb(error.__traceback__)[-1]
    way_out = f"The same command with {TRACEBACK}=1 shows more."
    return f"`{type(error).__name__}` arose in {Path(place.filename).name}, line {place.lineno}: {said}. {way_out}"
