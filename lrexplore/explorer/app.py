"""The explorer: binds state, compute, figures, controls and panel; nothing flows the other way."""

import base64
import sys
import time
from dataclasses import replace
from functools import partial

import ipywidgets
from torch import Tensor, nn

from lrexplore.explorer.layer.calibrating import Calibrating
from lrexplore.explorer.layer.completion import Completion
from lrexplore.explorer.layer.compute import Study
from lrexplore.explorer.layer.controls import Controls
from lrexplore.explorer.layer.frame import compact, key_of
from lrexplore.explorer.layer.outputs import curve_table, plotly_figure
from lrexplore.explorer.layer.screen import Screen
from lrexplore.explorer.layer.state import LAYER, State
from lrexplore.explorer.pages import PAGES, Tabs
from lrexplore.explorer.panel import export
from lrexplore.explorer.pictures.layer_picture import draw_png
from lrexplore.explorer.real_inputs import RealInputs
from lrexplore.explorer.samples import Origin
from lrexplore.explorer.subject import Choice, Subject, on_device
from lrexplore.explorer.work.shown import error_text, shown
from lrexplore.explorer.work.threads import spare_cores
from lrexplore.explorer.work.worker import Token, Worker
from lrexplore.init import REAL_INPUTS
from lrexplore.linalg import Factors
from lrexplore.models import load_model
from lrexplore.network import factorize
from lrexplore.ranks import RankPlan

OBSERVED = ("layer", "rank", "initializer", "scheme", "activation", "batch_norm", "inputs", "calibrated")


class Explorer:
    """A running explorer. `state` has the traits to set, observe and link; `widget` is what is displayed.

    `explorer.state.tab = "Network"` opens a tab as a click on it does.
    """

    def __init__(self, model, *, weights=None, rank_scale: float = 0.25, device=None, loader=None, calibration=None):
        if device is not None and isinstance(model, nn.Module):
            raise ValueError(
                f"`device` must be None for your own module, got {device!r}. Move it with `model.to(device)` first."
            )
        name = model if isinstance(model, str) else type(model).__name__
        origin = "weights as given" if isinstance(model, nn.Module) or weights is not None else "random init"
        with spare_cores():
            loaded = on_device(load_model(model, weights=weights), device)
            self.subject = Subject(loaded, f"{name} · {origin}", rank_scale)
        self.origin = Origin(model if isinstance(model, str) else None, weights, loader)
        self.subject.real = RealInputs(loaded, self.origin, calibration)
        self.state = State(self.subject, tabs=(LAYER, *PAGES))
        self._screen = Screen(self.subject)
        self.panel, self._lock = self._screen.panel, self._screen.lock
        self._completion = Completion(self._screen, self.state)
        self._worker = Worker(self._on_failure)
        self.controls = Controls(self.state, self.subject)
        self._layer_page = ipywidgets.VBox([self.controls.box, self.panel])
        makers = {title: partial(make, self) for title, make in PAGES.items()}
        self._tabs = Tabs(self.state, self._layer_page, makers, self.show_error)
        self.widget = ipywidgets.VBox([self.controls.title, self._tabs.widget])
        self._draw()
        self._calibrating = Calibrating(self._screen, self.state, self.subject.real, self._on_failure)
        self.state.observe(self._on_state, names=OBSERVED)
        self.state.observe(self._on_progress, names=["status", "progress"])
        self.panel.observe(self._on_panel, names=["layer", "rank"])
        self.panel.on_cancel(self._on_cancel)

    def table(self):
        """DataFrame of the curves on screen: layer, scheme, initializer, rank, both errors, costs as ratios.

        `time_ratio` is measured on this machine, NaN until it is.
        """
        with self._lock:
            choice = self.state.choice
            return curve_table(self.subject, self._study(), choice, self._screen.time(choice))

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
            for initializer in study.to_fill(self.state.initializer):
                for _ in study.fill(initializer, self.subject.rank(name, choice.scheme), lambda: False):
                    pass
            self._screen.measure_time(choice, self.state.initializer, lambda: False)
            frames[name] = compact(self._screen.frame(choice, self.state.initializer))
        self._screen.complete_table(lambda: False)
        state = {"table": self.panel.table, "layer": self.state.layer, "rank": self.state.rank}
        state["frame"] = frames[self.state.layer]
        return export.to_html(state, path, f"lrexplore · {self.subject.summary()}", frames=frames)

    def factors(self) -> Factors:
        """The factors on screen: the chosen initializer at the chosen rank; of a grouped layer, its first group's.

        Those for real inputs come with the `bias` that is to be added to the layer's output.
        """
        with self._lock:
            found = self._study().factors(self.state.initializer, self.state.rank)
        # Clones: autograd refuses tensors made in inference mode.
        return replace(found, **{name: x.clone() for name, x in vars(found).items() if isinstance(x, Tensor)})

    def ranks(self) -> dict[str, int]:
        """The rank chosen for each layer: as set by hand, else by the rank scale where that saves parameters."""
        scheme, chosen = self.state.scheme, {}
        for name in self.subject.names:
            rank = self.subject.rank(name, scheme)
            if name in self.subject.ranks or rank <= self.subject.layers[name].break_even_rank(scheme):
                chosen[name] = rank
        return chosen

    def factorized_model(self) -> nn.Module:
        """A copy of the model with the Layer tab's ranks (those of `ranks()`), in its scheme and initializer.

        For the Network tab's plan: `lr.factorize(model, plan=explorer.network_plan())`.
        """
        initializer = self.state.initializer
        calibration = self.subject.real.calibration if initializer in REAL_INPUTS else None
        return factorize(
            self.subject.model, ranks=self.ranks(), initializer=initializer, scheme=self.state.scheme,
            calibration=calibration,
        )  # fmt: skip

    def network_plan(self) -> RankPlan:
        """The `RankPlan` of the Network tab; the curves of all layers are computed first where they are not there."""
        return self.page("Network").plan()

    def page(self, title: str):
        """The page of a tab, made if it is not yet; that of "Network" has a `state`, that of "Training" a `tab`."""
        return self._tabs.page(title)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the inputs are calibrated and the curves on screen complete; whether that came about in time."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        done = self._calibrating.wait(timeout_s)
        return self._worker.wait(None if until is None else max(until - time.monotonic(), 0)) and done

    def close(self) -> None:
        """Stop the worker and close the widgets."""
        self._worker.close()
        self._tabs.close()
        self._calibrating.close()
        self.controls.close()
        self._screen.close()
        self._layer_page.close()
        self.widget.close()

    def _repr_mimebundle_(self, **kwargs):
        bundle = self.widget._repr_mimebundle_(**kwargs)
        bundle = dict(bundle[0] if isinstance(bundle, tuple) else bundle or {})
        bundle["text/plain"] = f"Explorer of {self.subject.summary()}"
        picture = draw_png(self._current_frame(), self.state.rank)
        bundle["image/png"] = base64.b64encode(picture).decode("ascii")
        return bundle

    def _choice_of(self, name: str) -> Choice:
        if name == self.state.layer:
            return self.state.choice
        if name not in self.subject.names:
            raise ValueError(
                f"`layers` must name layers that can be factorized, got {name!r}. Choose from `explorer.ranks()`."
            )
        found = self.subject.layers[name].follows
        inputs = self.subject.inputs(name, self.state.inputs)
        return Choice(name, self.state.scheme, found.activation, found.batch_norm is not None, inputs)

    def _study(self, choice: Choice | None = None) -> Study:
        return self._screen.study(choice or self.state.choice)

    def _current_frame(self) -> dict:
        return self._screen.frame(self.state.choice, self.state.initializer)

    def _draw(self) -> None:
        """Show the frame of what is chosen, and have the worker complete it."""
        with self._lock:
            self._completion.resume()
            self._screen.show(self.state.choice, self.state.initializer, self.state.rank)
            self._start()

    @shown
    def _on_state(self, change) -> None:
        with self._lock:
            self.panel.error = ""
            if change["name"] == "rank":
                self._keep_rank(change["new"])
            if key_of(self.state.choice, self.state.initializer) != self._screen.drawn:
                self._draw()
            elif change["name"] == "rank":
                self.panel.rank = change["new"]
                self._start()

    def _keep_rank(self, rank: int) -> None:
        layer, scheme = self.state.layer, self.state.scheme
        if rank != self.subject.rank(layer, scheme):
            self.subject.ranks[layer] = rank

    @shown
    def _on_panel(self, change) -> None:
        if change["name"] == "layer" and change["new"]:
            self.state.layer = change["new"]
        elif change["name"] == "rank":
            self.state.rank = min(max(change["new"], 1), self.state.max_rank)

    @shown
    def _on_progress(self, change) -> None:
        with self._lock:
            self.panel.set_trait(change["name"], change["new"])
            self.panel.busy = self.state.progress < 1

    @shown
    def _on_cancel(self) -> None:
        with self._lock:
            self._completion.stop()
            self._worker.cancel()
            self._calibrating.cancel()
            self.state.tell("cancelled: the curves stay as far as they are", 1.0)

    def _on_failure(self, error: BaseException) -> None:
        with self._lock:
            self.state.tell("", 1.0)
            self.show_error(error)

    def _start(self) -> None:
        job = self._completion.job(self.state.choice, self.state.initializer, self.state.rank)
        if "google.colab" in sys.modules:  # shows no update that a background thread sends
            job(Token())
        else:
            self._worker.submit(job)

    def show_error(self, error: BaseException) -> None:
        """Show an error in the layer's error area."""
        self.panel.error = error_text(error)


def explore(model, *, weights=None, rank_scale: float = 0.25, device=None, loader=None, calibration=None) -> Explorer:
    """The explorer of a network: leave it last in a notebook cell to see it.

    `model` is a torchvision name, a checkpoint path or an nn.Module, `weights` as `lr.load_model` takes them.
    Every layer starts at `rank_scale`, in (0, 1]. `device` is where the mathematics runs; None leaves the model where
    it is. `loader`, any iterable of inputs or (input, label) pairs, has the inputs that "yours" stands for, which the
    Network tab calibrates on and judges by too; without it that is crops of scikit-learn's photographs. A `calibration`
    of `lr.calibrate` saves the Layer tab the pass over them.

    Raises ValueError for an unknown name, a model without factorizable layers, weights that are not finite and a
    calibration of another network.
    """
    return Explorer(
        model, weights=weights, rank_scale=rank_scale, device=device, loader=loader, calibration=calibration
    )
