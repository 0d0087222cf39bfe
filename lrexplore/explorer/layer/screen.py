"""What is drawn: the frame of one choice on the panel, its patches and exact rows, and the studies behind them."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import torch

from lrexplore.explorer.layer.compute import Study
from lrexplore.explorer.layer.forms import FormCurves
from lrexplore.explorer.layer.frame import (
    build_floor_patch,
    build_form_patch,
    build_frame,
    build_patch,
    build_time_patch,
    compact,
    key_of,
)
from lrexplore.explorer.layer.heads.head_frame import build_head_frame
from lrexplore.explorer.layer.heads.head_map import HeadMap
from lrexplore.explorer.layer.heads.head_study import HeadStudy
from lrexplore.explorer.layer.layer_table import layer_table
from lrexplore.explorer.layer.real_study import ImpliedStudy, RealStudy
from lrexplore.explorer.layer.state import State
from lrexplore.explorer.layer.times import LayerTime, LayerTimes
from lrexplore.explorer.panel.panel import PlotPanel
from lrexplore.explorer.real_inputs import IMPLIED, YOURS
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.explorer.work.threads import spare_cores
from lrexplore.linalg.tensors import MATRIX
from lrexplore.network.attention.head_layers import HeadLayer

MAX_STUDIES = 16


class Screen:
    """The panel and what it shows; `lock`, that of the state, guards both against the worker's thread.

    `drawn` is the frame's key.
    """

    def __init__(self, subject: Subject, state: State):
        self.subject, self._state = subject, state
        self.panel = PlotPanel(table=self._table())
        self.panel.share(state.lock)
        self.lock = state.lock
        self._times = LayerTimes(subject.model)
        self._forms = FormCurves(subject)
        self.drawn = ""
        self._shown: dict[str, int] = {}  # how much of each curve, and of the floor, the browser has
        self._studies: OrderedDict[Choice, Study | HeadStudy] = OrderedDict()
        self._maps: dict[str, HeadMap] = {}

    def study(self, choice: Choice) -> Study | HeadStudy:
        """The study of a choice; the latest ones are kept."""
        choice = replace(choice, form=MATRIX, lacking="")  # a study is of factor pairs
        with self.lock, spare_cores():
            if choice not in self._studies:
                layer = self.subject.layers[choice.layer]
                with torch.inference_mode():
                    if isinstance(layer, HeadLayer):
                        self._studies[choice] = self._head_study(layer, choice)
                        return self._studies[choice]
                    problem, real = self.subject.problem(choice), self.subject.real
                    if choice.inputs in (IMPLIED, YOURS):
                        entry = real.of(choice.inputs)[choice.layer]
                        made = RealStudy if choice.inputs == YOURS else ImpliedStudy
                        self._studies[choice] = made(problem, layer.group_shape, entry, real.source)
                    else:
                        self._studies[choice] = Study(problem, layer.group_shape)
                if len(self._studies) > MAX_STUDIES:
                    self._studies.popitem(last=False)
            self._studies.move_to_end(choice)
            return self._studies[choice]

    def _head_study(self, layer: HeadLayer, choice: Choice) -> HeadStudy:
        real = self.subject.real if choice.inputs == YOURS else None
        values = self.subject.spectra.values(layer.head).numpy()
        calibration, source = (None, "") if real is None else (real.calibration, real.source)
        return HeadStudy(self.subject.model, layer, values, calibration, source)

    def heads(self, kind: str) -> HeadMap:
        """All heads of one kind, "QK" or "OV"."""
        if kind not in self._maps:
            heads = tuple(layer for layer in self.subject.heads if layer.kind == kind)
            self._maps[kind] = HeadMap(self.subject.model, heads, self.subject.spectra)
        return self._maps[kind]

    def frame(self, choice: Choice, initializer: str) -> dict:
        """The frame of a choice as far as it is known, numpy arrays inside."""
        layer, about = self.subject.layers[choice.layer], {"about": self.subject.name}
        with self.lock, spare_cores():
            if isinstance(layer, HeadLayer):
                study, heads, key = self.study(choice), self.heads(layer.kind), key_of(choice, initializer)
                return build_head_frame(layer, study, heads, self._state.heads_by, key) | about
            frame = build_frame(self.subject, self.study(choice), choice, initializer, self.time(choice),
                                self._forms.known(choice, initializer))  # fmt: skip
            return frame | {"about": f"{self.subject.name} · {initializer}"}

    def show(self, choice: Choice, initializer: str, rank: int) -> None:
        """Put another frame on the panel."""
        with self.lock:
            frame = self._build(choice, initializer)
            self.drawn = frame["key"]
            self.panel.show(frame, layer=choice.layer, rank=rank)

    def show_again(self, choice: Choice, initializer: str) -> None:
        """The whole frame once more, if it still is the one on screen: pictures and scales do not come in parts."""
        with self.lock:
            if key_of(choice, initializer) == self.drawn:
                self.panel.show(self._build(choice, initializer))

    def _build(self, choice: Choice, initializer: str) -> dict:
        """The frame as it is sent; notes how much of each curve, and of the floor, the browser then has at least."""
        study = self.study(choice)
        before = {name: study.num_known(name) for name in study.initializers}
        floor = study.floor.num_known if study.floor else 0
        frame = compact(self.frame(choice, initializer))
        before |= {name: study.num_known(name) for name in study.nested}
        self._shown = {"floor": floor} | before | {f"{name} tables": num_known for name, num_known in before.items()}
        return frame

    def amend(self, choice: Choice, initializer: str, changed: str, *, tables: bool = True) -> None:
        """Send what became known of the initializer `changed`, if anything did and the frame still is on screen.

        Without `tables` only the curves: the neurons at every rank can wait until all are known.
        """
        with self.lock:
            study = self.study(choice)
            num_known = study.num_known(changed)
            parts = [changed, f"{changed} tables"] if tables else [changed]
            if key_of(choice, initializer) == self.drawn and any(self._shown.get(part) != num_known for part in parts):
                self._shown |= dict.fromkeys(parts, num_known)
                self.panel.amend(build_patch(study, choice, initializer, changed, tables=tables))

    def raise_floor(self, choice: Choice, initializer: str) -> None:
        """Send the floor as far as it is known, if that is news and the frame still is on screen."""
        with self.lock:
            study = self.study(choice)
            num_known = study.floor.num_known
            if key_of(choice, initializer) == self.drawn and num_known != self._shown.get("floor"):
                self._shown["floor"] = num_known
                self.panel.amend(build_floor_patch(study, choice, initializer))

    def time(self, choice: Choice) -> LayerTime | None:
        """What was measured of the layer's time."""
        return self._times.known(self.subject.layers[choice.layer], choice.scheme)

    def measure_time(self, choice: Choice, initializer: str, stopped: Callable[[], bool]) -> None:
        """Measure how long the layer takes, if that is not known, and send it if the frame still is on screen."""
        if not self._times.measure(self.subject.layers[choice.layer], choice.scheme, stopped):
            return
        with self.lock:
            if key_of(choice, initializer) == self.drawn:
                study, time = self.study(choice), self.time(choice)
                self.panel.amend(build_time_patch(self.subject, study, choice, initializer, time))

    def measure_form(self, choice: Choice, initializer: str, stopped: Callable[[], bool]) -> None:
        """Find what the layer loses in the form of the choice, and send it if the frame still is on screen."""
        if choice.form == MATRIX or not self._forms.measure(choice, initializer, stopped):
            return
        with self.lock:
            curve = self._forms.known(choice, initializer)
            if key_of(choice, initializer) == self.drawn and curve is not None:
                self.panel.amend(build_form_patch(self.subject, self.study(choice), choice, initializer, curve))

    def send_row(self, choice: Choice, initializer: str, rank: int) -> None:
        """Send the neurons at exactly this rank."""
        study = self.study(choice)
        rows = [values for name in dict.fromkeys(("spectral", initializer)) for values in study.row(name, rank)]
        self.panel.send_row(rank, {"neurons": rows}, key=key_of(choice, initializer))

    def complete_table(self, stopped: Callable[[], bool]) -> None:
        """Find the stable ranks that the layer table lacks, and send it again where it is not what it was.

        The browser itself follows the rank of the layer on screen.
        """
        self.subject.add_stable_ranks(stopped)
        with self.lock:
            if not stopped():
                self.panel.table = self._table()

    def _table(self) -> dict:
        return layer_table(self.subject, self._state.scheme, self._state.rank_of)

    def close(self) -> None:
        """Close the panel and forget the studies."""
        self.panel.close()
        self._studies.clear()
