"""A layer in another form than factor pairs: what it loses at what cost, beside the pairs on one axis."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from lrexplore.explorer.layer.compute import Curve
from lrexplore.explorer.layer.figures import curve_line
from lrexplore.explorer.real_inputs import YOURS
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.linalg.tensors import MATRIX
from lrexplore.network import weights_of
from lrexplore.network.forms import tensor_start
from lrexplore.network.layers import tensor_flops, tensor_parameters
from lrexplore.ranks.form_menus import hopeful_ranks, tensor_loss
from lrexplore.theory.styles import ERROR_DASHES, STYLES

_COLOR, _SYMBOL = "#117733", "diamond"
COSTS = ("parameters", "multiply-adds")


@dataclass(frozen=True, eq=False)
class FormCurve:
    """Function errors on a menu of ranks, by rising parameters; both costs as shares of the layer's own.

    `flop_shares` is None where the layer's size is not known.
    """

    ranks: tuple[tuple[int, ...], ...]
    errors: np.ndarray
    shares: np.ndarray
    flop_shares: np.ndarray | None


class FormCurves:
    """The curves of a network's layers that are known so far."""

    def __init__(self, subject: Subject):
        self._subject = subject
        self._known: dict[tuple[Choice, str], FormCurve] = {}

    def known(self, choice: Choice, initializer: str) -> FormCurve | None:
        """What is known of a choice."""
        return self._known.get((choice, self._start(choice, initializer)))

    def measure(self, choice: Choice, initializer: str, stopped: Callable[[], bool]) -> bool:
        """Whether the curve became known: the choice has a form, it was not known, and `stopped()` never came true.

        Of a grouped layer it is that of its first group, as all curves of a layer are.
        """
        if choice.form == MATRIX or self.known(choice, initializer) is not None:
            return False
        layer, start = self._subject.layers[choice.layer], self._start(choice, initializer)
        weight = weights_of(self._subject.model, layer)[0]
        real = self._subject.real
        inputs = real.calibration[choice.layer] if choice.inputs == YOURS and real is not None else None
        norm, errors = self._subject.problem(choice).batch_norm, []
        with torch.inference_mode():
            menu = hopeful_ranks(layer, choice.form, [weight])
            for ranks in menu:
                if stopped():
                    return False
                errors.append(tensor_loss(weight, ranks, choice.form, start, choice.activation, norm, inputs))
        shares = np.array([tensor_parameters(layer, choice.form, ranks) for ranks in menu]) / layer.num_parameters
        flops = None
        if layer.flops:
            flops = np.array([tensor_flops(layer, choice.form, ranks) for ranks in menu]) / layer.flops
        self._known[choice, start] = FormCurve(tuple(menu), np.array(errors), shares, flops)
        return True

    def _start(self, choice: Choice, initializer: str) -> str:
        return tensor_start(initializer, choice.form, has_inputs=choice.inputs == YOURS)


def form_plot(
    choice: Choice, initializer: str, pairs: Curve | None, per_rank: tuple[float, float | None], inputs: str,
    curve: FormCurve | None,
) -> dict:  # fmt: skip
    """Function error against the share of parameters (solid) and of multiply-adds (dashed): pairs, and the form.

    `per_rank` are both costs of one rank of the pairs, as shares of the layer's.
    """
    updates = form_updates(pairs, per_rank, curve)
    color, symbol = STYLES[initializer]
    data = []
    for name, tint, mark in ((f"pairs ({initializer})", color, symbol), (choice.form, _COLOR, _SYMBOL)):
        for cost, dash in zip(COSTS, ERROR_DASHES.values(), strict=True):
            trace = _trace(name, cost, tint, mark, dash)
            data.append(trace | updates[str(len(data))])
    return {
        "id": "form",
        "label": "Error against cost",
        "caption": f"What the layer loses as a function ({inputs}) as factor pairs and in the form {choice.form}, "
        "against what it then costs, as a share of the layer: solid its parameters, dashed its multiply-adds. "
        "Hover for the ranks.",
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": "share of the layer's cost"}, "range": [0, 1.02]},
            "yaxis": {"title": {"text": "function error"}, "range": [0, 1.02]},
        },
        "rank_axis": False,
        "by_rank": [],
    }


def form_updates(pairs: Curve | None, per_rank: tuple[float, float | None], curve: FormCurve | None) -> dict[str, dict]:
    """x, y and the ranks of the form plot's traces, by trace index."""
    nothing: np.ndarray = np.zeros(0, dtype=np.float32)
    traces: list[tuple[np.ndarray, np.ndarray, list[str]]] = []
    for cost in per_rank:
        if pairs is None or cost is None:
            traces.append((nothing, nothing, []))
            continue
        inside = pairs.ranks * cost <= 1
        words = [f"rank {rank}" for rank in pairs.ranks[inside].tolist()]
        traces.append((pairs.ranks[inside] * cost, pairs.function_error[inside], words))
    for shares in (None, None) if curve is None else (curve.shares, curve.flop_shares):
        if curve is None or shares is None:
            traces.append((nothing, nothing, []))
            continue
        words = ["ranks " + ", ".join(map(str, ranks)) for ranks in curve.ranks]
        traces.append((shares, curve.errors, words))
    return {
        str(number): {"x": np.asarray(x, dtype=np.float32), "y": np.asarray(y, dtype=np.float32), "text": words}
        for number, (x, y, words) in enumerate(traces)
    }


def _trace(name: str, cost: str, color: str, symbol: str, dash: str) -> dict:
    hover = f"{name}<br>%{{text}}<br>%{{x:.3f}} of the {cost}<br>error %{{y:.4f}}<extra></extra>"
    return curve_line(name, color, symbol, dash, hover)
