"""The form that starts a run: its fields, what they mean together, and why it may not start."""

from typing import Any

import ipywidgets as w

from lrexplore.datasets.data import NAMES
from lrexplore.explorer.pickers import ROW, WIDE, escape, picker
from lrexplore.explorer.training.start import why_not
from lrexplore.linalg import SCHEMES
from lrexplore.models.catalogue import OWN
from lrexplore.recipes.config import DECAY_NAMES, INITIALIZER_NAMES

SCALE, BY_HAND, WHOLE = "by rank scale", "as set layer by layer", "unfactorized"


class TrainingForm:
    """`box` holds the fields and the button `start`; `choices()` what they say.

    `model` is the network on offer, `by_hand` whether the ranks that a person set layer by layer can be used.
    """

    def __init__(self, model: str = "resnet20", *, by_hand: bool = False):
        self._own = model
        self.model = w.Combobox(
            value=model, options=tuple(dict.fromkeys([model, *OWN, "resnet50", "efficientnet_b0"])),
            description="model", style=WIDE, layout={"width": "210px"},
            tooltip="A network by name, or package.module:function. It starts from a random draw of the seed, not from "
            "published weights",
        )  # fmt: skip
        self.data = w.Combobox(
            value=NAMES[0], options=NAMES, description="data", style=WIDE, layout={"width": "230px"},
            tooltip="fashion-mnist: 5,000 training images that come along; fashion-mnist-full: 60,000; synthetic: "
            "noise, for speed only; a folder with train and val, as ImageNet is unpacked; or package.module:function",
        )  # fmt: skip
        ranks = (SCALE, BY_HAND, WHOLE) if by_hand else (SCALE, WHOLE)
        self.ranks = picker("ranks", ranks, "Which layers become factor pairs, of which rank", "215px")
        self.rank_scale = w.BoundedFloatText(
            value=0.1, min=0.001, max=1, step=0.05, description="rank scale", style=WIDE, layout={"width": "135px"},
            tooltip="Rank of every layer as a fraction of the smaller side of its matrix",
        )  # fmt: skip
        self.initializer = picker("initializer", INITIALIZER_NAMES, "How the factors start", "205px")
        self.scheme = picker("scheme", SCHEMES, "How a convolution's kernel becomes a matrix", "165px")
        decays = [name for name in DECAY_NAMES if name != "normalized"]  # which needs the norms of another run
        self.decay = picker("decay", decays, "What it pulls down: the norm of the product, or of the factors", "165px")
        self.strength = w.BoundedFloatText(
            value=0.001, min=0, max=1e6, step=0.0005, description="strength", style=WIDE, layout={"width": "140px"},
            tooltip="Coefficient of weight decay, and of Frobenius decay on the factors",
        )  # fmt: skip
        self.length = w.BoundedFloatText(
            value=4, min=0.01, max=1e9, step=1, description="length", style=WIDE, layout={"width": "120px"},
            tooltip="How long the run is",
        )  # fmt: skip
        self.unit = picker("in", ("epochs", "steps"), "What its length counts", "105px")
        self.seed = w.BoundedIntText(
            value=0, min=0, max=2**31 - 1, description="seed", style=WIDE, layout={"width": "100px"},
            tooltip="Draws the network, the order of the images and their augmentation",
        )  # fmt: skip
        self.name = w.Text(
            placeholder="made from the choices", description="name", style=WIDE, layout={"width": "250px"},
            tooltip="The name of the run's folder",
        )  # fmt: skip
        self.start = w.Button(description="start run", icon="play", button_style="primary", layout={"width": "auto"})
        self.reason = w.HTML()
        self._fields = (
            self.model, self.data, self.ranks, self.rank_scale, self.initializer, self.scheme, self.decay,
            self.strength, self.length, self.unit, self.seed, self.name, self.start, self.reason,
        )  # fmt: skip
        around = {"border": "1px solid var(--jp-border-color2, #ccc)", "padding": "6px 10px", "display": "none"}
        self.box = w.HBox(self._fields, layout={**ROW, **around})
        self.model.observe(self._fit, names="value")
        self.ranks.observe(self._fit, names="value")
        self._fit()

    def choices(self) -> dict[str, Any]:
        """The choices of the run as training names them; without `plan`, for ranks set by hand.

        Raises ValueError for a number of steps that is no whole number.
        """
        chosen: dict[str, Any] = {"model": self.model.value.strip(), "data": self.data.value.strip() or NAMES[0]}
        if self.ranks.value == SCALE:
            chosen["rank_scale"] = self.rank_scale.value
        if self.ranks.value != WHOLE:
            chosen |= {"initializer": self.initializer.value, "scheme": self.scheme.value}
        chosen |= {"decay": self.decay.value, "decay_strength": self.strength.value}
        length = self.length.value
        if self.unit.value == "steps":
            if length != int(length):
                raise ValueError(f"`steps` must be a whole number, got {length:g}. Round it, or count epochs.")
            length = int(length)
        chosen |= {self.unit.value: length, "seed": self.seed.value}
        return chosen | ({"name": self.name.value.strip()} if self.name.value.strip() else {})

    def show(self, visible: bool) -> None:
        """Show or hide the fields; at first they are hidden."""
        self.box.layout.display = "flex" if visible else "none"

    def follow(self, initializer: str, scheme: str) -> None:
        """Take over what is chosen for the layer on screen, where a training knows it."""
        if initializer in INITIALIZER_NAMES:
            self.initializer.value = initializer
        self.scheme.value = scheme

    def close(self) -> None:
        """Close the widgets."""
        for child in (*self._fields, self.box):
            child.close()

    def _fit(self, change=None) -> None:
        """Fields without a meaning are off, and so is the button where no run can start; it says why."""
        whole = self.ranks.value == WHOLE
        self.rank_scale.disabled = self.ranks.value != SCALE
        self.initializer.disabled = self.scheme.disabled = whole
        reason = why_not(self.model.value.strip())
        if not reason and self.ranks.value == BY_HAND and self.model.value.strip() != self._own:
            reason = f"`ranks` set layer by layer are those of {self._own}. Choose that model, or a rank scale."
        self.start.disabled = bool(reason)
        self.start.tooltip = reason or "Train in a process of its own; it goes on when this notebook is closed"
        self.reason.value = f"<span>{escape(reason).replace('`', '')}</span>" if reason else ""
