"""The Network tab's pickers and buttons: ipywidgets bound to its state."""

from collections.abc import Callable, Mapping

import ipywidgets as w

from lrexplore.explorer.network.state import BUDGETS, NetworkState, initializers_for
from lrexplore.explorer.own_images import MOST_BYTES, MOST_IMAGES
from lrexplore.explorer.panel.upload import Upload
from lrexplore.explorer.pickers import (
    ROW,
    WIDE,
    Bound,
    WholeNumber,
    box,
    button,
    escape,
    input_options,
    inputs_picker,
    picker,
)
from lrexplore.explorer.samples import NUMS_JUDGED
from lrexplore.linalg import SCHEMES
from lrexplore.ranks import METHODS, PLAIN, SENSITIVITY, WEIGHTS
from lrexplore.ranks.probes import NUM_PROBES
from lrexplore.ranks.sensitivity import PROBE_SCALE

BOUND = ("budget", "method", "inputs", "initializer", "scheme", "weights", "layer", "num_judged")
MEANINGS = {
    PLAIN: "Layer weights, plain: every layer counts 1, however far it moves what the network says.",
    SENSITIVITY: (
        "Layer weights, sensitivity: a layer's error counts by how far the network's output moved (KL divergence of "
        f"its classes, nats) when that layer alone was factorized at {PROBE_SCALE:g} of its full rank, on at most "
        f"{NUM_PROBES} inputs that nothing was fitted to, and on as many of noise with the spectrum of photographs "
        "where batch norms tell what inputs are. Assumes that movements add up and grow in step with the error. Costs "
        "a pass of these inputs through the network for every layer, minutes for a large one; it is kept on disk."
    ),
}


class NetworkControls:
    """A row of controls in `box`, and a drawer below it that `more` opens. What a choice raises goes to `on_error`, and
    the control goes back.

    `buttons` maps "pin", "keep", "unpin", "unpin_all", "see", "search", "measure", "save", "images", "tune" and
    "resume" to functions. `upload` takes files from the browser.
    """

    def __init__(
        self,
        state: NetworkState,
        names: list[str],
        source: str,
        buttons: Mapping[str, Callable[[], None]],
        on_error: Callable[[BaseException], None],
    ):
        self._state = state
        self.budget = picker("budget of", [(unit, name) for name, unit in BUDGETS.items()], "What is limited", 200, 178)
        self.method = picker(
            "method", [(name.replace("_", " "), name) for name in METHODS],
            "optimal: least predicted error within the budget; the others are rules to compare with", 220, 134,
        )  # fmt: skip
        about = "What the errors are for; yours are calibrated on first"
        self.inputs = inputs_picker(about, source, 138, implied=state.implies_inputs)
        self.initializer = picker("initializer", initializers_for(state.inputs), "How the factors are made", 220, 146)
        self.more = w.ToggleButton(
            description="pin, judge, save", icon="sliders", layout={"width": "auto"},
            tooltip="Images of your own, scheme and weights of layers, ranks by hand, agreement, latency, files",
        )  # fmt: skip
        self.more.observe(self._unfold, names="value")
        self.scheme = picker("scheme", (*SCHEMES, "best"), "How kernels are made matrices; best: chosen by layer", 165)
        self.weights = picker("layer weights", WEIGHTS, "What a layer's error counts in the total", 200)
        self.meaning = w.HTML(_small(MEANINGS[state.weights]))
        self.layer = picker("layer", names, "The layer to pin; a click on a bar chooses it too", 300)
        self.rank = WholeNumber(
            description="rank", min=1, max=10**6, tooltip="Rank to pin the layer at", style=WIDE,
            layout={"width": "130px"},
        )  # fmt: skip
        self.agreement = w.BoundedFloatText(
            description="agreement over (%)", value=95, min=0, max=100, step=1, style=WIDE, layout={"width": "200px"},
            tooltip="Share of the samples on which both networks must name the same class first",
        )  # fmt: skip
        numbers = [(f"{num} inputs", num) for num in NUMS_JUDGED]
        self.num_judged = picker("judged by", numbers, "Samples to measure agreement on, if there are so many", 180)
        self.path = w.Text(
            description="save as", value="small", style=WIDE, layout={"width": "280px"},
            tooltip="Writes NAME.safetensors, the network, and NAME.json, its plan",
        )  # fmt: skip
        self.overwrite = box("overwrite", "Write over files that are there", 110)
        self.folder = w.Text(
            description="your images", placeholder="path of a folder", style=WIDE, layout={"width": "340px"},
            tooltip="A folder of images, subfolders included: to calibrate on, and one in four to judge by",
        )  # fmt: skip
        self.upload = Upload(most_files=MOST_IMAGES, most_bytes=MOST_BYTES)
        self.taken = w.HTML()
        self.use_folder = button("use folder", "Take its images as your inputs, in both tabs", "folder-open")
        self.use_folder.on_click(lambda _: buttons["images"]())
        self.buttons = {
            "pin": button("pin at rank", "Hold the layer at this rank; the others are balanced anew"),
            "keep": button("keep as it is", "Never factorize this layer"),
            "unpin": button("unpin", "Let this layer be chosen again"),
            "unpin_all": button("unpin all", "Let all layers be chosen again"),
            "see": button("see in Layer tab", "Open this layer, at its rank here, in the Layer tab"),
            "search": button("find the smallest", "Halve the budget while the samples agree often enough"),
            "measure": button("measure latency", "Time both networks on this device, in turns"),
            "save": button("save", "Write the factorized network and its plan"),
            "tune": button(
                "fine-tune this",
                "Train this network from here on, as a run of its own, with the one before the cut as"
                " its teacher; data, seed and folder are those of the tab Training",
                "play",
            ),
            "resume": button("go on", "Go on with what was cancelled", "play"),
        }
        for name, pressed in self.buttons.items():
            pressed.on_click(lambda _, press=buttons[name]: press())
        state.observe(self._fit, names=["inputs", "initializer", "weights"])
        self._bound = Bound(state, {name: getattr(self, name) for name in BOUND}, on_error)
        press = self.buttons
        pins = [self.layer, self.rank, *(press[name] for name in ("pin", "keep", "unpin", "unpin_all", "see"))]
        saving = [self.path, self.overwrite, press["save"]]
        goals = [self.num_judged, self.agreement, press["search"], press["measure"], *saving]
        choices = [self.budget, self.method, self.inputs, self.initializer, self.more, press["tune"], press["resume"]]
        weighing = [self.scheme, self.weights, self.meaning]
        images = [self.folder, self.use_folder, self.upload, self.taken]
        self.rows = [w.HBox(row, layout=ROW) for row in (choices, weighing, images, pins, goals)]
        self.drawer = w.VBox(self.rows[1:], layout={"display": "none"})
        self.box = w.VBox([self.rows[0], self.drawer])

    def open(self) -> None:
        """Open the drawer."""
        self.more.value = True

    def offer_inputs(self, source: str, taken: str) -> None:
        """Say what "yours" are from now on, and what of it was taken."""
        self._bound.offer("inputs", input_options(source, implied=self._state.implies_inputs))
        self.taken.value = _small(escape(taken))

    def allow(self, *, plan: bool, resume: bool) -> None:
        """Enable what needs a plan where there is one, and "resume" where something was cancelled."""
        for name, control in {**self.buttons, "rank": self.rank}.items():
            control.disabled = not (resume if name == "resume" else plan)
        self.buttons["resume"].layout.display = None if resume else "none"

    def close(self) -> None:
        """Unbind and close the widgets."""
        self._bound.close()
        for row in self.rows:
            for child in (*row.children, row):
                child.close()
        self.rows = []
        self.drawer.close()
        self.box.close()

    def _unfold(self, change) -> None:
        self.drawer.layout.display = None if change["new"] else "none"

    def _fit(self, change) -> None:
        self.meaning.value = _small(MEANINGS[self._state.weights])
        if self._state.initializer in initializers_for(self._state.inputs):
            self._bound.offer("initializer", initializers_for(self._state.inputs))


def _small(text: str) -> str:
    return f'<div style="font-size: 12px; line-height: 1.4">{text}</div>'
