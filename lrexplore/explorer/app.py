"""The explorer: binds the tabs to one network, and hands out what they show."""

import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
from torch import nn

from lrexplore.explorer.layer.state import LAYER
from lrexplore.explorer.layer.tab import LayerTab
from lrexplore.explorer.layer.words import summary
from lrexplore.explorer.own_images import of_person, said, silent
from lrexplore.explorer.pages import PAGES, Tabs
from lrexplore.explorer.pictures.displayed import Displayed
from lrexplore.explorer.real_inputs import RealInputs
from lrexplore.explorer.samples import Origin
from lrexplore.explorer.subject import Subject, on_device
from lrexplore.explorer.work.threads import spare_cores
from lrexplore.init import named_initializer
from lrexplore.linalg import Factors
from lrexplore.models import load_model
from lrexplore.ranks import RankPlan


class Explorer(Displayed):
    """A running explorer. `state` has the traits to set, observe and link; `widget` is what is displayed.

    `explorer.state.tab = "Network"` opens a tab as a click on it does. It ends with `close()`, when nothing refers to
    it and no cell displays it, and when a cell that displayed it displays another one.

    >>> explorer = lr.Explorer(torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU()))
    >>> explorer.state.rank = 3
    >>> explorer.factors().rank
    3
    >>> explorer.close()
    """

    def __init__(
        self,
        model,
        *,
        weights=None,
        rank_scale: float = 0.25,
        device=None,
        loader=None,
        groups=None,
        calibration=None,
        seed: int = 0,
        initializer: str | Callable = "function",
    ):
        if device is not None and isinstance(model, nn.Module):
            raise ValueError(
                f"`device` must be None for your own module, got {device!r}. Move it with `model.to(device)` first."
            )
        name = str(model) if isinstance(model, str | Path) else type(model).__name__
        with spare_cores():
            loaded = on_device(load_model(model, weights=weights, seed=seed), device)
            origin = Origin(None if isinstance(model, nn.Module) else name, weights, loader, groups)
            self.subject = Subject(loaded, f"{name} · {origin.weights_in_words}", rank_scale)
        self.subject.real = RealInputs(loaded, origin, calibration)
        self.layer_tab = LayerTab(self.subject, (LAYER, *PAGES), named_initializer(initializer))
        self.state, self.panel, self.controls = self.layer_tab.state, self.layer_tab.panel, self.layer_tab.controls
        # Widgets are held by ipywidgets until they are closed, and hold what they call: nothing here refers to `self`.
        makers = {title: partial(make, self.layer_tab) for title, make in PAGES.items()}
        self._tabs = Tabs(self.state, self.layer_tab.widget, makers, self.layer_tab.show_error)
        self.layer_tab.training_tab = partial(_training_tab, self._tabs)
        self._box = ipywidgets.VBox([self.controls.title, self._tabs.widget])
        self._close = weakref.finalize(self, _close, self.layer_tab, self._tabs, self._box)
        self._close.atexit = False
        super().__init__(self.layer_tab.picture)
        self.layer_tab.on_complete = self.still.renew

    @property
    def widget(self) -> ipywidgets.Widget:
        """What is displayed. Once asked for, it keeps the explorer until `close()`."""
        self._box.explorer = self
        return self._box

    @property
    def origin(self) -> Origin:
        """Where the network came from, and the inputs that "yours" stands for."""
        return self.subject.real.origin

    def use_images(self, images) -> str:
        """What was taken, in words: the images of a folder, by its path, or of a list of files are "yours" from now on.

        In both tabs, prepared as the network expects them; those that resemble each other are one independent input,
        and one in four judges. At most 224 are taken, of a larger folder at random. What cannot be read is left out
        and named. All that was computed for the earlier inputs is dropped.

        Raises ValueError for a path without images, fewer than two that can be read, and a network that takes none.
        """
        with spare_cores():
            origin = self.origin.with_images(self.subject.model, of_person(images), silent)
        self.layer_tab.take_inputs(origin)
        if "Network" in self._tabs.pages:
            page: Any = self.page("Network")
            page.take_inputs(origin)
        return said(origin)

    def table(self):
        """DataFrame of the curves on screen: layer, scheme, initializer, rank, both errors, costs as ratios.

        `time_ratio` is measured on this machine, NaN until it is. `inputs` are "gaussian", "implied" or "yours".
        """
        return self.layer_tab.table()

    def figure(self):
        """A plain plotly Figure of what is on screen, at the current rank, two plots in a row."""
        return self.layer_tab.figure()

    def to_html(self, path, *, layers=None):
        """Path of a self-contained page written: its slider works without kernel and internet.

        `layers` names more layers to take along; unfinished curves of all of them are completed first.
        """
        return self.layer_tab.to_html(path, layers=layers)

    def factors(self) -> Factors:
        """The factors on screen: the chosen initializer at the chosen rank; of a grouped layer, its first group's.

        Those for real inputs come with the `bias` that is to be added to the layer's output.
        """
        return self.layer_tab.factors()

    def ranks(self) -> dict[str, int]:
        """The rank chosen for each layer: as set by hand, else by the rank scale where that saves parameters."""
        return self.layer_tab.ranks()

    def factorized_model(self) -> nn.Module:
        """A copy of the model with the Layer tab's ranks (those of `ranks()`), in its scheme and initializer.

        For the Network tab's plan: `lr.factorize(model, plan=explorer.network_plan())`.
        """
        return self.layer_tab.factorized_model()

    def network_plan(self) -> RankPlan:
        """The `RankPlan` of the Network tab; the curves of all layers are computed first where they are not there."""
        return self.page("Network").plan()

    def page(self, title: str):
        """The page of a tab, made if it is not yet; that of "Network" has a `state`, that of "Training" a `tab`."""
        return self._tabs.page(title)

    def wait(self, time_limit_s: float | None = None) -> bool:
        """Block until the inputs are calibrated and the curves on screen complete; whether that came about in time."""
        return self.layer_tab.wait(time_limit_s)

    def close(self) -> None:
        """Stop the workers and close the widgets."""
        self.forget_cells()
        if vars(self):
            self._close()
            vars(self._box).pop("explorer", None)

    def end(self) -> None:
        """Close, and let go of the network: another explorer is displayed in the place of this one."""
        self.close()
        vars(self).clear()

    def __getattr__(self, name: str):
        if vars(self):
            raise AttributeError(f"`Explorer` has no {name!r}. `help(explorer)` lists what it has.")
        raise AttributeError(
            f"`{name}` must be asked of an explorer that is displayed, got one in whose place its cell displayed "
            "another. Use that one, or call `lr.explore` in a cell of its own."
        )

    def text(self) -> str:
        """What is displayed, in one line."""
        return f"Explorer of {summary(self.subject)}"


def _close(layer_tab: LayerTab, tabs: Tabs, box: ipywidgets.Widget) -> None:
    layer_tab.on_complete = lambda: None
    tabs.close()
    layer_tab.close()
    box.close()


def explore(
    model,
    *,
    weights=None,
    rank_scale: float = 0.25,
    device=None,
    loader=None,
    groups=None,
    calibration=None,
    seed: int = 0,
    initializer: str | Callable = "function",
) -> Explorer:
    """The explorer of a network: leave it last in a notebook cell to see it.

    `model` is a torchvision name, a checkpoint path or an nn.Module, `weights` and `seed` (of a random network) as
    `lr.load_model` takes them.
    Every layer starts at `rank_scale`, in (0, 1]. `device` is where the mathematics runs; None leaves the model where
    it is. `loader`, any iterable of inputs or (input, label) pairs, has the inputs that "yours" stands for, which the
    Network tab calibrates on and judges by too, with `groups` of those that belong together, as for `lr.calibrate`;
    without it that is crops of scikit-learn's photographs, until `Explorer.use_images`. A `calibration`
    of `lr.calibrate` saves the Layer tab the pass over them. `initializer` is the one on screen at first: a name, or a
    function as `lr.initializer` takes it, which then is in the menus under its own name.

    Raises ValueError for an unknown name, a model without factorizable layers, weights that are not finite and a
    calibration of another network.

    >>> explorer = lr.explore(torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU()), rank_scale=0.5)
    >>> explorer.state.layer, explorer.state.rank
    ('0', 3)
    >>> explorer.close()
    """
    return Explorer(
        model,
        weights=weights,
        rank_scale=rank_scale,
        device=device,
        loader=loader,
        groups=groups,
        calibration=calibration,
        seed=seed,
        initializer=initializer,
    )


def _training_tab(tabs: Tabs) -> Any:
    """The tab that starts runs."""
    page: Any = tabs.page("Training")
    return page.tab
