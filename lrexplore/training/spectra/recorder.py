"""Rows of spectra while a run trains: at once on a CPU, beside the training on a GPU."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import nn

from lrexplore.records.spectra import QUANTITIES
from lrexplore.training.spectra.layer_spectra import Snapshot, measure, recorded_layers, snapshot


class SpectraRecorder:
    """Takes the layers of a network as they are and gives rows for the stream `spectra`, in their order.

    Of a network on a GPU the weights are copied there, and a thread measures them while the device goes on.
    `taken_s`: how long the training has waited for it so far.
    """

    def __init__(self, model: nn.Module, scheme: str, device: torch.device):
        self._model, self._scheme = model, scheme
        self._layers = recorded_layers(model)
        self._pool = ThreadPoolExecutor(1, "spectra") if device.type == "cuda" else None
        self._rows: list[Future] = []
        self.taken_s = 0.0

    @property
    def names(self) -> list[str]:
        """The layers, in the order of a row's lists."""
        return [layer.name for layer in self._layers]

    def take(self, step: int, epoch: int) -> None:
        """Measures the layers as they are now, or begins to."""
        began, beside = time.perf_counter(), self._pool is not None
        taken = [snapshot(self._model, layer, self._scheme, copies=beside) for layer in self._layers]
        if self._pool is not None:
            self._rows.append(self._pool.submit(_row, step, epoch, taken))
        else:
            row: Future = Future()
            row.set_result(_row(step, epoch, taken))
            self._rows.append(row)
        self.taken_s += time.perf_counter() - began

    def rows(self, *, wait: bool) -> Iterator[dict]:
        """The rows that are ready, each once; with `wait` all that were begun."""
        while self._rows and (wait or self._rows[0].done()):
            yield self._rows.pop(0).result()

    def close(self) -> None:
        """Nothing more is to be measured."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _row(step: int, epoch: int, taken: list[Snapshot]) -> dict:
    measured = [measure(layer) for layer in taken]
    row = {
        "step": step,
        "epoch": epoch,
        **{name: [layer[name] for layer in measured] for name in ("num_values", "full_rank")},
    }
    row["values"] = [float(f"{value:.7g}") for layer in measured for value in layer["values"]]
    return row | {key: [layer[key] for layer in measured] for key in QUANTITIES}
