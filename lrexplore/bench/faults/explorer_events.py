"""Random events of an explorer from several threads at once, as cells, a browser and its pickers send them."""

import os
import random
import tempfile
import threading
import time
import traceback
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from traitlets import TraitError

from lrexplore.bench.faults.verdict import is_ours
from lrexplore.dual import ACTIVATIONS
from lrexplore.explorer.app import Explorer
from lrexplore.explorer.layer.frame import key_of
from lrexplore.explorer.network.state import BUDGETS, initializers_for
from lrexplore.explorer.real_inputs import INPUTS
from lrexplore.explorer.samples import NUMS_JUDGED
from lrexplore.explorer.training.figures import EPOCH_QUANTITIES, STEP_QUANTITIES
from lrexplore.explorer.training.groups import GROUPINGS
from lrexplore.explorer.training.series import AXES
from lrexplore.explorer.training.state import EVERY_LAYER, NO_BASELINE, UNFACTORIZED_RUNS
from lrexplore.init import INITIALIZERS, REAL_INPUTS
from lrexplore.linalg import SCHEMES
from lrexplore.ranks import METHODS, WEIGHTS
from lrexplore.records import Writer

NUM_THREADS, ROUND, LIMIT_S, QUIET_S = 4, 2000, 10.0, 120.0
_ODD: tuple[Any, ...] = ("x", "", "$x$", -1, 0, 10**9, 2.5, float("nan"), None, True, [], {}, b"x", ("a", 1))


@dataclass
class Events:
    """How many events were taken, how many refused in our words, and what went wrong."""

    num_taken: int = 0
    num_refused: int = 0
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: str = ""
    wall_s: float = 0.0

    def lines(self) -> Iterator[str]:
        """One line that sums up, and one a kind of fault."""
        yield (
            f"explorer: {self.num_taken + self.num_refused} events in {self.wall_s:.0f} s, {self.num_refused} refused, "
            f"{len(self.faults)} faults, slowest {self.slowest_s:.2f} s ({self.slowest})"
        )
        for fault, times in Counter(self.faults).most_common():
            yield f"  {times} x {fault}"


def explorer_events(count: int, seed: int = 0, *, num_threads: int = NUM_THREADS) -> Events:
    """What `count` random events from so many threads did to one explorer with its three tabs.

    Of every ten values one makes no sense. A fault is an error that is none of ours, raised or shown, an event that
    takes over 10 s, and whatever is not of one mind once all threads are at rest: states, panels, pickers.
    """
    before = os.environ.get("LREXPLORE_CACHE")
    with tempfile.TemporaryDirectory(prefix="lrexplore-faults-") as folder:
        os.environ["LREXPLORE_CACHE"] = folder
        try:
            return _Campaign(Path(folder), seed, num_threads).run(count)
        finally:
            del os.environ["LREXPLORE_CACHE"]
            if before is not None:
                os.environ["LREXPLORE_CACHE"] = before


class _Campaign:
    def __init__(self, folder: Path, seed: int, num_threads: int):
        self.seed, self.num_threads, self.events = seed, num_threads, Events()
        self.folders = [_recorded(folder / "first", 4), _recorded(folder / "second", 2), folder / "none"]
        self.explorer = Explorer(_network(), loader=_batches())
        self.network = self.explorer.page("Network")
        self.training = self.explorer.page("Training").tab
        self.training.state.folder = str(self.folders[0])
        self._lock = threading.Lock()
        self._traits = self._known_traits()
        for panel in (self.explorer.panel, self.network.panel, self.training.panel):
            panel.observe(lambda change: self._shown(change["new"]), names="error")

    def run(self, count: int) -> Events:
        started, done, number = time.perf_counter(), 0, 0
        try:
            while done < count:
                size, number = min(ROUND, count - done), number + 1
                shares = [size // self.num_threads + (k < size % self.num_threads) for k in range(self.num_threads)]
                threads = [
                    threading.Thread(target=self._send, args=(random.Random(f"{self.seed} {number} {k}"), share))
                    for k, share in enumerate(shares)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(LIMIT_S + share_s(size))
                if any(thread.is_alive() for thread in threads):
                    self._fault("threads that wait for each other")
                    return self.events
                self._look(f"after {done + size} events")
                done += size
        finally:
            self.events.wall_s = time.perf_counter() - started
            if "threads that wait for each other" not in self.events.faults:
                self.explorer.close()
        return self.events

    def _send(self, draw: random.Random, count: int) -> None:
        for _ in range(count):
            what, event, is_odd = self._drawn(draw)
            started = time.perf_counter()
            try:
                event()
            except Exception as error:
                ours = isinstance(error, (TraitError, ValueError)) and str(error).startswith("`")
                with self._lock:
                    self.events.num_refused += 1
                if not ours and not (is_odd and isinstance(error, TraitError)):
                    self._fault(f"{what}: {_in_short(error)}")
            else:
                with self._lock:
                    self.events.num_taken += 1
            spent_s = time.perf_counter() - started
            with self._lock:
                self.events.slowest_s, self.events.slowest = max(
                    (self.events.slowest_s, self.events.slowest), (spent_s, what)
                )
            if spent_s > LIMIT_S:
                self._fault(f"{what}: it took {spent_s:.0f} s")

    def _drawn(self, draw: random.Random) -> tuple[str, Callable[[], Any], bool]:
        """What an event is called, the event, and whether its value makes no sense."""
        explorer, network, training = self.explorer, self.network, self.training
        owner = draw.choice(("layer", "network", "training"))
        is_odd = draw.random() < 0.1
        state = {"layer": explorer.state, "network": network.state, "training": training.state}[owner]
        name = draw.choice(list(self._traits[owner]))
        value = draw.choice(_ODD) if is_odd else self._traits[owner][name](draw)
        way = draw.random()
        if way < 0.5:
            return f"{owner}.{name}", lambda: setattr(state, name, value), is_odd
        if way < 0.75:
            return self._from_the_browser(draw, owner)
        others: list[tuple[str, Callable[[], Any]]] = {
            "layer": [
                ("assign", lambda: state.assign(layer=value if name == "layer" else "stem", rank=draw.randint(1, 9))),
                ("cancel", lambda: explorer.panel._handle_custom_msg({"type": "cancel"}, [])),
                ("go on", lambda: explorer.controls.resume.click()),
                ("table", explorer.table),
                ("ranks", explorer.ranks),
            ],
            "network": [
                ("unpin", network.state.unpin),
                ("cancel", lambda: network.panel._handle_custom_msg({"type": "cancel"}, [])),
                *((button, pressed.click) for button, pressed in network.controls.buttons.items() if button != "save"),
            ],
            "training": [
                ("poll", training.poll),
                ("look again", training.controls.refresh.click),
                ("stop", training.controls.stop.click),
            ],
        }[owner]
        what, event = draw.choice(others)
        return f"{owner}: {what}", event, is_odd

    def _from_the_browser(self, draw: random.Random, owner: str) -> tuple[str, Callable[[], Any], bool]:
        """What the panel or a picker sends."""
        explorer, network, training = self.explorer, self.network, self.training
        names = [*explorer.subject.names, "depthwise", "nope"]
        sent: dict[str, list[tuple[Any, dict[str, Any] | None]]] = {
            "layer": [
                (explorer.panel, {"layer": draw.choice(names)}),
                (explorer.panel, {"rank": draw.randint(-3, 60)}),
                (explorer.panel, {"error": ""}),
                *((picker, _index(draw, picker)) for picker in explorer.controls.box.children[:3]),
                (explorer.controls.batch_norm, {"value": draw.random() < 0.5}),
                (explorer.widget.children[1], {"selected_index": draw.randrange(3)}),
            ],
            "network": [
                (network.panel, {"value": round(draw.uniform(-0.2, 1.2), 3)}),
                (network.controls.rank, {"value": draw.randint(1, 60)}),
                *((getattr(network.controls, name), None) for name in ("method", "scheme", "layer", "initializer")),
            ],
            "training": [
                (training.panel, {"checked": draw.sample(self._runs(), draw.randint(0, 4))}),
                (training.panel, {"layer": draw.choice([*self._runs(), "nope"])}),
                (training.panel, {"value": round(draw.uniform(0, 0.99), 3)}),
                *((getattr(training.controls, name), None) for name in ("grouping", "axis", "baseline", "layer")),
            ],
        }
        widget, message = draw.choice(sent[owner])
        said = message if message is not None else _index(draw, widget)
        return f"{owner}: the browser sends {sorted(said)}", lambda: widget.set_state(said), False

    def _runs(self) -> list[str]:
        return [f"run-{number}" for number in range(4)]

    def _known_traits(self) -> dict[str, dict[str, Callable[[random.Random], Any]]]:
        """Tab -> trait -> a value that it may have in some state."""
        names = self.explorer.subject.names
        quick = [name for name, record in {**INITIALIZERS, **REAL_INPUTS}.items() if not record.slow]

        def one_of(values) -> Callable[[random.Random], Any]:
            return lambda draw: draw.choice(list(values))

        def pins(draw: random.Random) -> dict[str, int | None]:
            return {name: draw.choice((None, 1, 2, 5)) for name in draw.sample(names, draw.randint(0, 3))}

        return {
            "layer": {
                "layer": one_of(names), "rank": lambda draw: draw.randint(1, 40), "initializer": one_of(quick),
                "scheme": one_of(SCHEMES), "activation": one_of(list(ACTIVATIONS)[:6]), "inputs": one_of(INPUTS),
                "batch_norm": one_of((True, False)), "tab": one_of(("Layer", "Network", "Training")),
            },
            "network": {
                "budget": one_of(list(BUDGETS)[:2]), "ratio": lambda draw: round(draw.uniform(0.05, 1), 3),
                "method": one_of(METHODS), "inputs": one_of(INPUTS), "pinned": pins, "layer": one_of(names),
                "scheme": one_of((*SCHEMES, "best")), "weights": one_of(WEIGHTS), "num_judged": one_of(NUMS_JUDGED[:2]),
                "initializer": one_of([*initializers_for("gaussian"), "whitened"]),
            },
            "training": {
                "checked": lambda draw: draw.sample(self._runs(), draw.randint(0, 4)), "selected": one_of(self._runs()),
                "grouping": one_of(GROUPINGS), "axis": one_of(AXES), "step_quantity": one_of(STEP_QUANTITIES),
                "baseline": one_of((NO_BASELINE, UNFACTORIZED_RUNS, *self._runs())),
                "folder": one_of([str(folder) for folder in self.folders]),
                "epoch_quantity": one_of(EPOCH_QUANTITIES), "smoothing": lambda draw: round(draw.uniform(0, 0.99), 3),
                "layer": one_of((EVERY_LAYER, "layer1.0.conv1")), "log_x": one_of((True, False)),
                "log_y": one_of((True, False)),
            },
        }  # fmt: skip

    def _look(self, when: str) -> None:
        """Notes what is not of one mind now that no event comes."""
        explorer, network, training = self.explorer, self.network, self.training
        for name, tab in (("Layer", explorer), ("Network", network)):
            if not tab.wait(QUIET_S):
                self._fault(f"{when}: the {name} tab is still at work after {QUIET_S:.0f} s")
        training.poll()
        state, panel, tabs = explorer.state, explorer.panel, explorer.widget.children[1]
        wrong = {
            "layer on the panel": (panel.layer, state.layer),
            "rank on the panel": (panel.rank, state.rank),
            "frame on the panel": (panel.frame["key"], key_of(state.choice, state.initializer)),
            "rank in its range": (1 <= state.rank <= state.max_rank, True),
            "rank of the layer": (state.rank, state.rank_of(state.layer)),
            "tab on screen": (tabs.titles[tabs.selected_index], state.tab),
            "budget on the panel": (round(network.panel.value, 4), round(network.state.ratio, 4)),
            "runs on the panel": (training.panel.checked, training.state.checked),
            "run on the panel": (training.panel.layer, training.state.selected),
            "smoothing on the panel": (training.panel.value, training.state.smoothing),
        }  # fmt: skip
        for tab, its in ((explorer, state), (network, network.state), (training, training.state)):
            for name, control in tab.controls._bound._controls.items():
                wrong[f"picker {type(its).__name__}.{name}"] = control.value, getattr(its, name)
        for what, (shown, meant) in wrong.items():
            if shown != meant:
                self._fault(f"{what} is not that of the state ({when}: {shown!r} against {meant!r})")
        if self.network._allocation.ready(network.state.wish):
            try:
                plan, wish = network.plan(), network.state.wish
            except ValueError as error:
                if not is_ours(error):
                    raise
                return  # no plan is within this budget, as the tab says
            cost = plan.parameter_ratio if wish.budget == "parameter_ratio" else plan.flop_ratio
            if cost > wish.ratio + 1e-9:
                self._fault(f"a plan over its budget: {cost} > {wish.ratio}")

    def _shown(self, message: str) -> None:
        if message and not message.startswith("`"):
            self._fault(f"shown: {message}")

    def _fault(self, words: str) -> None:
        with self._lock:
            self.events.faults.append(words)


def share_s(size: int) -> float:
    """How long a round of so many events may take before its threads count as stuck."""
    return max(60.0, 0.25 * size)


def _index(draw: random.Random, picker) -> dict[str, Any]:
    return {"index": draw.randrange(max(1, len(picker.options)))}


def _in_short(error: BaseException) -> str:
    """The kind and first line of an error, and where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {line} ({Path(place.filename).name}:{place.lineno})"


def _network() -> nn.Module:
    """A random network with every kind of layer that the explorer tells apart."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            OrderedDict(
                stem=nn.Conv2d(3, 40, 3, padding=1, bias=False), norm=nn.BatchNorm2d(40), first=nn.ReLU(),
                wide=nn.Conv2d(40, 16, 3, padding=1), second=nn.SiLU(),
                grouped=nn.Conv2d(16, 16, 3, padding=1, groups=2), third=nn.ReLU(),
                depthwise=nn.Conv2d(16, 16, 3, padding=1, groups=16), pool=nn.AdaptiveAvgPool2d(1),
                flat=nn.Flatten(), head=nn.Linear(16, 6),
            )
        ).eval()  # fmt: skip


def _batches() -> list[torch.Tensor]:
    coarse = torch.randn(48, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    return list(nn.functional.interpolate(coarse, size=12, mode="bilinear").split(8))


def _recorded(folder: Path, num_runs: int) -> Path:
    """A folder of small runs that have ended, one of them unfactorized."""
    for number in range(num_runs):
        name, scale = f"run-{number}", None if number == 1 else 0.1 * (number + 1)
        config = {"model": "resnet20", "data": "fashion-mnist", "rank_scale": scale, "initializer": "function",
                  "decay": "none", "epochs": 2.0, "seed": number, "name": name, "runs": str(folder)}  # fmt: skip
        with Writer(folder / name, {"name": name, "config": config, "layers": ["layer1.0.conv1"]}) as writer:
            for step in range(1, 21):
                row = {"step": step, "epoch": 1 + step // 11, "wall_s": step / 2, "loss": 2 / step, "top1": 50.0 + step}
                writer.append("steps", {**row, "lr": 0.1, "images_per_s": 250.0})
            norms = {key: [1.0] for key in ("frobenius_norm", "nuclear_norm", "factor_bound", "non_orthogonality")}
            writer.append("layers", {"step": 20, "epoch": 2, "lr": 0.1, "effective_lr": [0.1], **norms})
            writer.append(
                "epochs", {"step": 20, "epoch": 2, "wall_s": 10.0, "held_out_loss": 1.0, "held_out_top1": 80.0}
            )
            writer.status("done", step=20, num_steps=20, epoch=2, loss=0.5, held_out_top1=80.0)
    return folder
