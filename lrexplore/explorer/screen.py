"""What is drawn: the frame of one choice on the panel, its patches and exact rows, and the studies behind them."""

from collections import OrderedDict
from threading import RLock

import torch

from lrexplore.explorer.compute import Study
from lrexplore.explorer.frame import build_floor_patch, build_frame, build_patch, compact, key_of
from lrexplore.explorer.network import Choice, Network
from lrexplore.explorer.panel import PlotPanel

MAX_STUDIES = 16


class Screen:
    """The panel and what it shows; `lock` guards both against the worker's thread. `drawn` is the frame's key."""

    def __init__(self, network: Network):
        self.network = network
        self.panel = PlotPanel(table=network.table())
        self.lock = RLock()
        self.drawn = ""
        self._studies: OrderedDict[Choice, Study] = OrderedDict()

    def study(self, choice: Choice) -> Study:
        """The study of a choice; the latest ones are kept."""
        with self.lock:
            if choice not in self._studies:
                layer = self.network.layers[choice.layer]
                with torch.inference_mode():
                    self._studies[choice] = Study(self.network.problem(choice), layer.group_shape)
                if len(self._studies) > MAX_STUDIES:
                    self._studies.popitem(last=False)
            self._studies.move_to_end(choice)
            return self._studies[choice]

    def frame(self, choice: Choice, initializer: str) -> dict:
        """The frame of a choice as far as it is known, numpy arrays inside."""
        with self.lock:
            return build_frame(self.network, self.study(choice), choice, initializer)

    def show(self, choice: Choice, initializer: str, rank: int) -> None:
        """Put another frame on the panel."""
        with self.lock:
            frame = compact(self.frame(choice, initializer))
            self.drawn = frame["key"]
            self.panel.show(frame, layer=choice.layer, rank=rank)

    def show_again(self, choice: Choice, initializer: str) -> None:
        """The whole frame once more, if it still is the one on screen: pictures do not come in parts."""
        with self.lock:
            if key_of(choice, initializer) == self.drawn:
                self.panel.show(compact(self.frame(choice, initializer)))

    def amend(self, choice: Choice, initializer: str, changed: str) -> None:
        """Send what became known of the initializer `changed`, if the frame still is the one on screen."""
        with self.lock:
            if key_of(choice, initializer) == self.drawn:
                self.panel.amend(build_patch(self.study(choice), choice, initializer, changed))

    def raise_floor(self, choice: Choice, initializer: str) -> None:
        """Send the floor as far as it is known, if the frame still is the one on screen."""
        with self.lock:
            if key_of(choice, initializer) == self.drawn:
                self.panel.amend(build_floor_patch(self.study(choice), choice, initializer))

    def send_row(self, choice: Choice, initializer: str, rank: int) -> None:
        """Send the neurons at exactly this rank."""
        study = self.study(choice)
        rows = [values for name in dict.fromkeys(("spectral", initializer)) for values in study.row(name, rank)]
        self.panel.send_row(rank, {"neurons": rows}, key=key_of(choice, initializer))

    def close(self) -> None:
        """Close the panel and forget the studies."""
        self.panel.close()
        self._studies.clear()
