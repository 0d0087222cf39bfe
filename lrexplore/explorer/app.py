"""The explorer: binds state, compute, figures, controls and panel; nothing flows the other way."""

import base64
import sys
import time
from collections import OrderedDict
from functools import partial, wraps
from threading import RLock

import ipywidgets
import torch
from torch import nn

from lrexplore.explorer import export
from lrexplore.explorer.compute import Stopped, Study
from lrexplore.explorer.controls import Controls
from lrexplore.explorer.frame import build_frame, build_patch, compact, key_of
from lrexplore.explorer.network import Choice, Network
from lrexplore.explorer.outputs import curve_table, plotly_figure
from lrexplore.explorer.panel import PlotPanel
from lrexplore.explorer.picture import draw_png
from lrexplore.explorer.state import State
from lrexplore.explorer.worker import Token, Worker
from lrexplore.init import NESTED
from lrexplore.linalg import Factors
from lrexplore.models import load_model
from lrexplore.nn import factorize

MAX_STUDIES = 16
UPDATE_S = 0.12


def explore(model, *, weights=None, rank_scale: float = 0.25, device=None) -> "Explorer":
    """The explorer of a network: leave it last in a notebook cell to see it.

    `model` is a torchvision name, a checkpoint path or an nn.Module, `weights` as `lr.load_model` takes them.
    Every layer starts at `rank_scale`, in (0, 1]. `device` is where the mathematics runs; None leaves the model where
    it is. Raises ValueError for an unknown name, a model without factorizable layers, and weights that are not finite.
    """
    return Explorer(model, weights=weights, rank_scale=rank_scale, device=device)


def _shown(handler):
    """A handler whose errors are shown under the plots: a kernel would swallow them."""

    @wraps(handler)
    def wrapped(self, *args, **kwargs):
        try:
            return handler(self, *args, **kwargs)
        except Exception as error:
            self._show_error(error)

    return wrapped


class Explorer:
    """A running explorer. `state` has the traits to set, observe and link; `widget` is what is displayed."""

    def __init__(self, model, *, weights=None, rank_scale: float = 0.25, device=None):
        name = model if isinstance(model, str) else type(model).__name__
        loaded = load_model(model, weights=weights)
        if device is not None and isinstance(model, nn.Module):
            raise ValueError(
                f"`device` must be None for your own module, got {device!r}. Move it with `model.to(device)` first."
            )
        loaded = loaded if device is None else loaded.to(device)
        origin = "weights as given" if isinstance(model, nn.Module) or weights is not None else "random init"
        self.network = Network(loaded, f"{name} · {origin}", rank_scale)
        self.state = State(self.network)
        self.panel = PlotPanel()
        self._lock = RLock()
        self._studies: OrderedDict[Choice, Study] = OrderedDict()
        self._drawn = self._frame = self._stopped = None
        self._worker = Worker(self._on_failure)
        self.controls = Controls(self.state, self.network)
        self.widget = ipywidgets.VBox([self.controls.box, self.panel])
        self.panel.table = self.network.table()
        self._draw()
        self.state.observe(self._on_state, names=["layer", "rank", "initializer", "scheme", "activation", "batch_norm"])
        self.state.observe(self._on_progress, names=["status", "progress"])
        self.panel.observe(partial(self._on_panel), names=["layer", "rank"])
        self.panel.on_cancel(self._on_cancel)

    def table(self):
        """DataFrame of the curves on screen: layer, scheme, initializer, rank, both errors, costs as ratios."""
        with self._lock:
            return curve_table(self.network, self._study(), self.state.choice)

    def figure(self):
        """A plain plotly Figure of what is on screen, at the current rank."""
        return plotly_figure(self._current_frame(), self.state.rank)

    def to_html(self, path, *, layers=None):
        """Path of a self-contained page written: its slider works without kernel and internet.

        `layers` names more layers to take along; unfinished curves of all of them are completed first.
        """
        frames = {}
        for name in dict.fromkeys([self.state.layer, *(layers or ())]):
            choice = self._choice_of(name)
            study = self._study(choice)
            for initializer in dict.fromkeys(("function", self.state.initializer)):
                if initializer not in NESTED:
                    for _ in study.fill(initializer, self.network.rank(name, choice.scheme), lambda: False):
                        pass
            frames[name] = compact(build_frame(self.network, study, choice, self.state.initializer))
        state = {"table": self.panel.table, "layer": self.state.layer, "rank": self.state.rank}
        state["frame"] = frames[self.state.layer]
        return export.to_html(state, path, f"lrexplore · {self.network.summary()}", frames=frames)

    def factors(self) -> Factors:
        """The factors on screen: the chosen initializer at the chosen rank; of a grouped layer, its first group's."""
        with self._lock:
            found = self._study().factors(self.state.initializer, self.state.rank)
        return Factors(found.left.clone(), found.right.clone())  # autograd refuses tensors made in inference mode

    def ranks(self) -> dict[str, int]:
        """The rank chosen for each layer: as set by hand, else by the rank scale where that saves parameters."""
        scheme, chosen = self.state.scheme, {}
        for name in self.network.names:
            rank = self.network.rank(name, scheme)
            if name in self.network.ranks or rank <= self.network.layers[name].break_even_rank(scheme):
                chosen[name] = rank
        return chosen

    def factorized_model(self) -> nn.Module:
        """A copy of the model with the ranks chosen so far, in the scheme and initializer on screen."""
        return factorize(
            self.network.model, ranks=self.ranks(), initializer=self.state.initializer, scheme=self.state.scheme
        )

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the curves on screen are complete; whether that came about in time."""
        return self._worker.wait(timeout_s)

    def close(self) -> None:
        """Stop the worker and close the widgets."""
        self._worker.close()
        self.controls.close()
        for widget in (self.panel, self.widget):
            widget.close()
        self._studies.clear()

    def _repr_mimebundle_(self, **kwargs):
        bundle = self.widget._repr_mimebundle_(**kwargs)
        bundle = dict(bundle[0] if isinstance(bundle, tuple) else bundle or {})
        bundle["text/plain"] = f"Explorer of {self.network.summary()}"
        picture = draw_png(self._current_frame(), self.state.rank)
        bundle["image/png"] = base64.b64encode(picture).decode("ascii")
        return bundle

    def _choice_of(self, name: str) -> Choice:
        if name == self.state.layer:
            return self.state.choice
        if name not in self.network.names:
            raise ValueError(
                f"`layers` must name layers that can be factorized, got {name!r}. Choose from `explorer.ranks()`."
            )
        found = self.network.layers[name].follows
        return Choice(name, self.state.scheme, found.activation, found.batch_norm is not None)

    def _study(self, choice: Choice | None = None) -> Study:
        choice = choice or self.state.choice
        with self._lock:
            if choice not in self._studies:
                layer = self.network.layers[choice.layer]
                with torch.inference_mode():
                    self._studies[choice] = Study(self.network.problem(choice), layer.group_shape)
                if len(self._studies) > MAX_STUDIES:
                    self._studies.popitem(last=False)
            self._studies.move_to_end(choice)
            return self._studies[choice]

    def _current_frame(self) -> dict:
        with self._lock:
            return build_frame(self.network, self._study(), self.state.choice, self.state.initializer)

    def _draw(self) -> None:
        """Show the frame of what is chosen, and have the worker complete it."""
        with self._lock:
            choice, initializer = self.state.choice, self.state.initializer
            frame = self._current_frame()
            self._drawn, self._stopped = key_of(choice, initializer), None
            self.panel.show(compact(frame), layer=choice.layer, rank=self.state.rank)
            self._start(choice, initializer)

    @_shown
    def _on_state(self, change) -> None:
        with self._lock:
            self.panel.error = ""
            if change["name"] == "rank":
                self._keep_rank(change["new"])
            if key_of(self.state.choice, self.state.initializer) != self._drawn:
                self._draw()
            elif change["name"] == "rank":
                self.panel.rank = change["new"]
                self._start(self.state.choice, self.state.initializer)

    def _keep_rank(self, rank: int) -> None:
        layer, scheme = self.state.layer, self.state.scheme
        if rank != self.network.rank(layer, scheme):
            self.network.ranks[layer] = rank

    @_shown
    def _on_panel(self, change) -> None:
        if change["name"] == "layer" and change["new"]:
            self.state.layer = change["new"]
        elif change["name"] == "rank":
            self.state.rank = min(max(change["new"], 1), self.state.max_rank)

    @_shown
    def _on_progress(self, change) -> None:
        with self._lock:
            self.panel.set_trait(change["name"], change["new"])
            self.panel.busy = self.state.progress < 1

    @_shown
    def _on_cancel(self) -> None:
        with self._lock:
            self._stopped = self._drawn
            self._worker.cancel()
            self.state.tell("cancelled: the curves stay as far as they are", 1.0)

    def _on_failure(self, error: BaseException) -> None:
        with self._lock:
            self.state.tell("", 1.0)
            self._show_error(error)

    def _start(self, choice: Choice, initializer: str) -> None:
        job = partial(self._complete, choice, initializer, self.state.rank)
        if "google.colab" in sys.modules:  # shows no update that a background thread sends
            job(Token())
        else:
            self._worker.submit(job)

    def _complete(self, choice: Choice, initializer: str, rank: int, token: Token) -> None:
        """The worker's job: the exact numbers of this rank, then the curves that need every rank run anew."""
        study = self._study(choice)
        shown = tuple(dict.fromkeys(("spectral", initializer)))
        if initializer in NESTED or initializer == "function" or self._stopped != self._drawn:
            if initializer == "sampled" and study.errors_at(initializer, rank) is None:
                self.state.tell(f"sampled: rank {rank}", 0.0)
            try:
                for name in shown:
                    study.add(name, rank, token.cancelled)
            except Stopped:
                return
            self._amend(study, choice, initializer, initializer)
            rows = [values for name in shown for values in study.row(name, rank)]
            self.panel.send_row(rank, {"neurons": rows}, key=key_of(choice, initializer))
        for name in dict.fromkeys((initializer, "function")):
            if name not in NESTED and self._stopped != self._drawn:
                self._fill(study, choice, initializer, name, rank, token)

    def _fill(self, study: Study, choice: Choice, drawn: str, name: str, rank: int, token: Token) -> None:
        sent = started = time.monotonic()
        total = len(study.table_ranks)
        for share in study.fill(name, rank, token.cancelled):
            with self._lock:
                if time.monotonic() - sent > UPDATE_S and not token.cancelled():
                    sent = time.monotonic()
                    self._amend(study, choice, drawn, name)
                    done = total - len(study.missing(name, rank))
                    self.state.tell(f"{name}: {done} of {total} ranks, others interpolated", min(share, 0.999))
        with self._lock:
            if token.cancelled():
                return
            self._amend(study, choice, drawn, name)
            self.state.tell("", 1.0)
        if name == drawn and study.has_pictures and sent > started:
            self._show_again(choice, drawn)

    def _show_again(self, choice: Choice, drawn: str) -> None:
        """The whole frame once more: pictures do not come in parts."""
        with self._lock:
            if key_of(choice, drawn) == self._drawn:
                self.panel.show(compact(self._current_frame()))

    def _amend(self, study: Study, choice: Choice, drawn: str, changed: str) -> None:
        with self._lock:
            if key_of(choice, drawn) == self._drawn:
                self.panel.amend(build_patch(study, choice, drawn, changed))

    def _show_error(self, error: BaseException) -> None:
        text = str(error)
        self.panel.error = text if isinstance(error, (ValueError, TypeError)) else f"{type(error).__name__}: {text}"
