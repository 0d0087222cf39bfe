"""Plots of training runs as plain descriptions: curves with bands, and heat maps of all layers. No tensor."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lrexplore.explorer.training.compute import Line, View
from lrexplore.explorer.training.groups import Group


@dataclass(frozen=True)
class Quantity:
    """What is drawn: its stream and column in the records, its name, its unit, and what it says."""

    stream: str
    column: str
    label: str
    unit: str
    about: str


def _by_label(*quantities: Quantity) -> dict[str, Quantity]:
    return {quantity.label: quantity for quantity in quantities}


STEP_QUANTITIES = _by_label(
    Quantity("steps", "loss", "training loss", "nats", "Mean cross-entropy of the images of each step"),
    Quantity("steps", "top1", "training top-1", "%", "Share of the images of each step named right"),
    Quantity("steps", "top5", "training top-5", "%", "Share of the images of each step named right in five guesses"),
    Quantity("steps", "lr", "learning rate", "", "Learning rate of each step, as scheduled"),
    Quantity("steps", "images_per_s", "images/s", "1/s", "Images trained on in a second, all processes together"),
)
EPOCH_QUANTITIES = _by_label(
    Quantity("epochs", "held_out_top1", "held-out top-1", "%",
             "Share named right of the images held out of training, after each epoch"),
    Quantity("epochs", "held_out_bleu", "held-out BLEU", "", "BLEU of the held-out sentences, after each epoch"),
    Quantity("epochs", "held_out_loss", "held-out loss", "nats",
             "Mean cross-entropy of the images held out of training, after each epoch"),
    Quantity("epochs", "held_out_top5", "held-out top-5", "%",
             "Share of the held-out images named right in five guesses, after each epoch"),
    Quantity("epochs", "train_loss", "training loss of an epoch", "nats", "Mean of the training loss over each epoch"),
    Quantity("epochs", "train_top1", "training top-1 of an epoch", "%", "Mean of the training top-1 over each epoch"),
)  # fmt: skip
LAYER_QUANTITIES = _by_label(
    Quantity("layers", "effective_lr", "effective learning rate", "",
             "lr / |W|²: of a layer that normalization follows only the direction of W matters, and this is the rate "
             "at which it turns. Decay keeps it up by keeping |W| down"),
    Quantity("layers", "frobenius_norm", "Frobenius norm", "",
             "|W| of the product of the factors: what Frobenius decay penalizes, squared"),
    Quantity("layers", "nuclear_norm", "nuclear norm", "",
             "Sum of the singular values of the product: what weight decay on the factors holds down, by its bound"),
    Quantity("layers", "non_orthogonality", "non-orthogonality", "",
             "Norm of the factors' Gram matrices off their diagonal over their whole norm, mean of both: 0 for "
             "orthogonal directions"),
)  # fmt: skip
# Of plotly's own ticks some lie across each other, stand upright in the title, or are powers larger than the rest.
LOG = {"type": "log", "nticks": 4, "tickangle": 0, "exponentformat": "SI"}
LINEAR = {"type": "linear"}
AXIS_TITLES = {"step": "step", "epoch": "epoch", "time": "time trained (s)"}


def curve_plot(
    quantity: Quantity, drawn: Sequence[tuple[Group, Line]], view: View, *, log_y: bool = False, of: str = "",
    changes: Sequence[tuple[Group, float, str]] = (),
) -> dict:  # fmt: skip
    """The curves of one quantity: a line a group, with a band where it is a mean; faint what was smoothed away.

    `of` says of which layer. `changes`: where along x a group's ranks changed, and what is said there; a dotted line.
    """
    title = quantity.label + (f" ({quantity.unit})" if quantity.unit else "")
    empty = not any(len(line.x) for _, line in drawn)
    axis = {"title": {"text": AXIS_TITLES[view.axis]}, "showticklabels": not empty}
    up = {"title": {"text": title}, "type": "log" if log_y else "linear", "automargin": True}
    waiting = "nothing recorded yet" if quantity.stream != "epochs" else "no epoch is over yet"
    marks = (
        [] if empty else [change for change in changes if np.isfinite(change[1]) and (change[1] > 0 or not view.log_x)]
    )
    note = {"text": waiting, "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False}
    return {
        "id": quantity.stream if quantity.stream != "layers" else quantity.column,
        "label": _capital(quantity.label) + (f", {of}" if of else ""),
        "caption": " ".join([f"{quantity.about}.", *_explained(quantity, drawn, view), *_of_marks(marks)]),
        "data": curve_traces(quantity, drawn, view),
        "layout": {
            "xaxis": {**axis, **(LOG if view.log_x else LINEAR)},
            "yaxis": {**up, "showticklabels": not empty},
            "annotations": [note] if empty else [_top(*mark, view.log_x) for mark in marks],
            **({"shapes": [_line_at(group, x) for group, x, _ in marks]} if marks else {}),
        },
        "rank_axis": False,
        "by_rank": [],
    }


def _line_at(group: Group, x: float) -> dict:
    return {
        "type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "layer": "below",
        "line": {"color": group.color, "width": 1, "dash": "dot"},
    }  # fmt: skip


def _top(group: Group, x: float, words: str, log_x: bool) -> dict:
    """A mark at the head of such a line; plotly takes the logarithm for an annotation and not for a shape."""
    return {
        "x": float(np.log10(x)) if log_x else x, "y": 1, "yref": "paper", "yanchor": "bottom", "text": "▾",
        "showarrow": False, "font": {"color": group.color, "size": 12}, "hovertext": f"{group.label}<br>{words}",
    }  # fmt: skip


def _of_marks(marks: Sequence) -> list[str]:
    return ["Dotted, with ▾: ranks changed."] if marks else []


def curve_traces(quantity: Quantity, drawn: Sequence[tuple[Group, Line]], view: View) -> list[dict]:
    """The traces of `curve_plot`: of each curve what was recorded, the band (not of a baseline), and the line.

    Those that do not apply are empty, so that a curve that grows keeps its traces.
    """
    return [trace for group, line in drawn for trace in _traces(quantity, group, line, view)]


def _traces(quantity: Quantity, group: Group, line: Line, view: View) -> list[dict]:
    shared = {"type": "scatter", "name": group.label, "legendgroup": group.label, "hoverinfo": "skip"}
    raw = {**shared, "mode": "lines", "showlegend": False, "x": _real(line.raw_x), "y": _real(line.raw_y)}
    raw |= {"line": {"color": group.color, "width": 1}, "opacity": 0.28}
    bands = [] if group.is_baseline else [_band(shared, group, line)]
    return [raw, *bands, _curve(quantity, group, line, view)]


def _band(shared: dict, group: Group, line: Line) -> dict:
    finite = np.isfinite(line.spread)
    x, low, high = line.x[finite], (line.y - line.spread)[finite], (line.y + line.spread)[finite]
    return {
        **shared,
        "mode": "lines",
        "showlegend": False,
        "x": _real(np.concatenate([x, x[::-1]])),
        "y": _real(np.concatenate([high, low[::-1]])),
        "fill": "toself",
        "fillcolor": _faint(group.color),
        "line": {"color": group.color, "width": 0},
    }


def _curve(quantity: Quantity, group: Group, line: Line, view: View) -> dict:
    marked = quantity.stream != "steps" and len(line.x) <= 60
    unit = f" {quantity.unit}" if quantity.unit == "%" else ""
    value = f"{quantity.label} %{{y:.4~g}}{unit}"
    if line.count > 1:
        value = f"mean of {line.count}: {value}<br>standard deviation %{{customdata:.3~g}}{unit}"
    what = {"step": "step %{x:,}", "epoch": "epoch %{x:.3~f}", "time": "%{x:,.1f} s"}[view.axis]
    trace = {
        "type": "scatter",
        "mode": "lines+markers" if marked else "lines",
        "name": group.label,
        "legendgroup": group.label,
        "x": _real(line.x),
        "y": _real(line.y),
        "line": {"color": group.color, "dash": group.dash, "width": 2},
        "marker": {"color": group.color, "symbol": group.symbol, "size": 6, "maxdisplayed": 12},
        "hovertemplate": f"{group.label}<br>{what}<br>{value}<extra></extra>",
    }
    return trace | ({"customdata": _real(line.spread)} if line.count > 1 else {})


def heat_plot(
    quantity: Quantity,
    name: str,
    x: np.ndarray,
    layers: list[str],
    values: np.ndarray,
    view: View,
    which: str = "factorized layer",
) -> dict:
    """A quantity of every layer of one run over time: color is its value, on a logarithmic scale if all are above 0.

    `which` says in the caption what these layers are.
    """
    positive = values.size > 0 and bool(np.nanmin(values) > 0) if np.isfinite(values).any() else False
    shade = np.log10(values) if positive else values
    bar = {"thickness": 12, "outlinewidth": 0, "len": 1, "tickfont": {"size": 10}}
    if positive:
        ticks = np.linspace(np.nanmin(shade), np.nanmax(shade), 4)
        bar |= {"tickvals": ticks.tolist(), "ticktext": [_short(10**tick) for tick in ticks]}
    trace = {
        "type": "heatmap",
        "name": name,
        "showlegend": False,
        "x": _real(x),
        "y": layers,
        "z": shade.astype(np.float32),
        "customdata": values.astype(np.float32),
        "colorscale": "Viridis",
        "colorbar": bar,
        "hovertemplate": f"%{{y}}<br>{AXIS_TITLES[view.axis]} %{{x:,}}<br>{quantity.label} %{{customdata:.4~g}}"
        "<extra></extra>",
    }
    scale = "on a logarithmic scale" if positive else "on a linear scale"
    return {
        "id": quantity.column,
        "label": f"{_capital(quantity.label)} of every layer",
        "caption": f"{quantity.about}. Every {which} of the run {name}, first layer on top, {scale}.",
        "data": [trace],
        "layout": {
            "margin": {"l": 8},
            "xaxis": {"title": {"text": AXIS_TITLES[view.axis]}, **(LOG if view.log_x else LINEAR)},
            "yaxis": {"type": "category", "autorange": "reversed", "automargin": True, "title": {"text": ""}},
            "showlegend": False,
        },
        "rank_axis": False,
        "by_rank": [],
    }


def _explained(quantity: Quantity, drawn: Sequence[tuple[Group, Line]], view: View) -> list[str]:
    """What was done to the recorded values on the way to the screen."""
    words = []
    rows = sorted({run.steps_a_row for group, _ in drawn for run in group.runs} - {1})
    if quantity.stream == "steps" and rows:
        words.append(f"Of some runs a small copy was kept, with means of {' or '.join(map(str, rows))} steps.")
    if quantity.stream == "steps" and view.smoothing > 0:
        words.append(f"Smoothed: exponential average of weight {view.smoothing:g}, debiased; faint: as recorded.")
    means = [group for group, line in drawn if line.count > 1]
    if means:
        varied = list(dict.fromkeys(key.replace("_", " ") for group in means for key in group.varies)) or ["nothing"]
        words.append(f"Lines are means over runs that differ in {' and '.join(varied)}, as far as all of them have "
                     "come; bands are one standard deviation (n − 1) to both sides.")  # fmt: skip
    if any(len(group.repeats) < len(group.runs) for group, _ in drawn):
        words.append("Runs with the same choices and seed count once, as their mean.")
    if any(len(line.x) and group.is_baseline for group, line in drawn):
        words.append("Dashed: baseline.")
    return words


def _short(value: float) -> str:
    """Two digits, more only where the whole number has more."""
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _real(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)


def _faint(color: str) -> str:
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.18)"
