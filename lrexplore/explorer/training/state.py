"""What is chosen in the training tab: traits that a notebook can set, observe and link."""

import traitlets as t

from lrexplore.explorer.training.compute import MEDIAN, View
from lrexplore.explorer.training.figures import EPOCH_QUANTITIES, STEP_QUANTITIES
from lrexplore.explorer.training.groups import GROUPINGS
from lrexplore.explorer.training.series import AXES
from lrexplore.explorer.work.locked_state import LockedState

NO_BASELINE, UNFACTORIZED_RUNS = "none", "unfactorized runs"
LATEST = 2**31 - 1
EVERY_LAYER = "every layer of the selected run"


class TrainingState(LockedState):
    """The folder of runs, the runs to compare, and how.

    `checked` names the runs on the plots, `selected` the one that buttons and heat maps are about, `baseline` is
    "none", "unfactorized runs" or the name of a run. `layer` is "median of all layers", "every layer of the selected
    run" or the name of a layer. Of recorded spectra `spectra_quantity` is mapped for all layers of the selected run;
    `spectrum_layer` ("" is the first) has its singular values drawn at the recorded `moment`, counted from 0; past the
    last it is the latest. A value that is none of those allowed raises TraitError and changes nothing.
    """

    folder = t.Unicode("runs")
    checked = t.List(t.Unicode())
    selected = t.Unicode()
    grouping = t.Enum(tuple(GROUPINGS), "all but the seed")
    baseline = t.Unicode(UNFACTORIZED_RUNS)
    axis = t.Enum(AXES, "step")
    step_quantity = t.Enum(tuple(STEP_QUANTITIES), "training loss")
    epoch_quantity = t.Enum(tuple(EPOCH_QUANTITIES), "held-out top-1")
    layer = t.Unicode(MEDIAN)
    smoothing = t.Float(0.9)
    log_x = t.Bool(False)
    log_y = t.Bool(False)
    spectra_quantity = t.Unicode("effective rank")
    spectrum_layer = t.Unicode()
    moment = t.Int(LATEST, min=0)

    @property
    def view(self) -> View:
        """How curves are drawn."""
        return View(self.axis, self.smoothing, self.log_x)

    @t.validate("smoothing")
    def _check_smoothing(self, proposal):
        if not 0 <= proposal["value"] < 1:
            got = proposal["value"]
            raise t.TraitError(f"`smoothing` must lie in [0, 1), got {got}. Use 0 for the values as they are.")
        return proposal["value"]

    @t.validate("spectra_quantity")
    def _check_spectra_quantity(self, proposal):
        from lrexplore.explorer.training.spectra.spectra_figures import SPECTRA_QUANTITIES

        if proposal["value"] not in SPECTRA_QUANTITIES:
            raise t.TraitError(
                f"`spectra_quantity` must be one of {', '.join(SPECTRA_QUANTITIES)}, got {proposal['value']!r}."
                " Choose one of them."
            )
        return proposal["value"]

    @t.validate("folder")
    def _check_folder(self, proposal):
        if not proposal["value"].strip():
            raise t.TraitError("`folder` must be the path of a folder of runs, got nothing. Type one, such as runs.")
        return proposal["value"].strip()
