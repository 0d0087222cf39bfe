"""Plots of one layer as plain descriptions: traces of numpy arrays, which of them follow the rank, a sentence each."""

import numpy as np

from lrexplore.explorer.layer.compute import Curve
from lrexplore.explorer.layer.times import LayerTime
from lrexplore.theory.styles import ERROR_DASHES, STYLES

QUANTITIES = ("function", "Frobenius")
NO_GAIN = ("independent", "spectral")
NOISE, LEAST_REACH, MOST_REACH = 1e-3, 1e-2, 3.0
"""Of the gain plot: percent below which a difference is none, that its axis reaches at least, and how much farther
above zero than below: one curve that loses much would flatten all that gain a little."""


def error_plot(
    curves: dict[str, Curve],
    names: tuple[str, ...],
    drawn: tuple[str, ...],
    max_rank: int,
    inputs: str,
    floor: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict:
    """Both errors against rank, a pair of traces an initializer: function error solid, Frobenius error dashed.

    `names` are the initializers that may ever be drawn, `drawn` those whose curves are there or will come; `floor` is
    ranks and bounds, or None where nothing is proved for these inputs.
    """
    data = []
    for name in names:
        curve = curves.get(name)
        for quantity in QUANTITIES:
            x, y = curve.line(quantity.lower()) if curve else (np.zeros(0), np.zeros(0))
            data.append(_error_trace(name, quantity, x, y) | {"visible": name in drawn})
    if floor is not None:
        data.append(_floor_trace(*floor))
    data += [_key_trace(quantity) for quantity in QUANTITIES]
    proved = "Below the gray step no factorization of that rank can come as a function: proved, not searched. "
    return {
        "id": "error",
        "label": "Error against rank",
        "caption": f"What the layer loses at each rank: solid as a function ({inputs}), dashed as a matrix "
        f"(Frobenius; no inputs). {proved if floor is not None else ''}Click to set the rank.",
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": "rank"}, "range": [0, max_rank + 0.5]},
            "yaxis": {"title": {"text": "relative squared error"}, "range": [0, 1.5]},
        },
        "rank_axis": True,
        "by_rank": [],
    }


def gain_plot(
    curves: dict[str, Curve], names: tuple[str, ...], drawn: tuple[str, ...], max_rank: int, inputs: str, remark: str
) -> dict:
    """Function error minus that of spectral, a trace an initializer, in percent of the layer's output energy."""
    data = []
    for name in _with_gain(names):
        x, y = _difference(curves, name)
        trace = _error_trace(name, "function", x, y)
        trace["hovertemplate"] = f"{name}<br>rank %{{x}}<br>%{{y:+.2f}} % of the output energy<extra></extra>"
        data.append(trace | {"visible": name in drawn})
    return {
        "id": "gain",
        "label": "Function error against spectral",
        "caption": f"How much less (below 0) or more the layer loses as a function than with spectral, at the same "
        f"cost ({inputs}). What is worse by far leaves the plot at the top. {remark}",
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": "rank"}, "range": [0, max_rank + 0.5]},
            "yaxis": {"title": {"text": "% of output energy"}, **gain_layout(curves, names)["yaxis"]},
        },
        "rank_axis": True,
        "by_rank": [],
    }


def gain_layout(curves: dict[str, Curve], names: tuple[str, ...]) -> dict:
    """The part of the gain plot's layout that follows its curves: an axis from the best to what is not much worse."""
    differences = [_difference(curves, name)[1] for name in _with_gain(names)]
    finite = np.concatenate([np.zeros(1), *(values[np.isfinite(values)] for values in differences)])
    low, high = float(finite.min()), float(finite.max())
    if low < 0:
        high = min(high, MOST_REACH * -low)
    low, high = (low, high) if high - low >= LEAST_REACH else (-LEAST_REACH, LEAST_REACH)
    margin = 0.06 * (high - low)
    return {"yaxis": {"range": [low - margin, high + margin]}}


def _with_gain(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name not in NO_GAIN]


def _difference(curves: dict[str, Curve], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Ranks, and function error minus spectral's in percent, where both are known."""
    if not {name, "spectral"} <= curves.keys():
        return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32)
    (ranks, errors), (others, reference) = curves[name].line("function"), curves["spectral"].line("function")
    between = np.interp(ranks, others, reference)  # NaN where spectral itself breaks off
    both = np.isin(ranks, others) | np.isnan(errors)
    percent = 100 * (errors - between)[both]
    return ranks[both], np.where(np.abs(percent) < NOISE, 0, percent).astype(np.float32)


def gain_updates(curves: dict[str, Curve], names: tuple[str, ...], changed: str) -> dict[str, dict]:
    """The x and y of the gain plot's traces that `changed` moves, by trace index: all, where that is spectral."""
    updates = {}
    for place, name in enumerate(_with_gain(names)):
        if name in curves and changed in (name, "spectral"):
            x, y = _difference(curves, name)
            updates[str(place)] = {"x": x, "y": y}
    return updates


def floor_update(names: tuple[str, ...], ranks: np.ndarray, bounds: np.ndarray) -> dict[str, dict]:
    """The x and y of the error plot's floor, by trace index."""
    return {str(2 * len(names)): {"x": ranks.astype(np.float32), "y": bounds.astype(np.float32)}}


def _floor_trace(ranks: np.ndarray, bounds: np.ndarray) -> dict:
    """What no factorization can do better than, as shaded steps: a bound holds for smaller ranks too."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "floor",
        "visible": len(ranks) > 0,
        "x": ranks.astype(np.float32),
        "y": bounds.astype(np.float32),
        "line": {"color": "#8a8a8a", "dash": "dot", "width": 1, "shape": "vh"},
        "fill": "tozeroy",
        "fillcolor": "rgba(138, 138, 138, 0.28)",
        "hovertemplate": "no factorization of rank %{x}<br>has a function error below %{y:.4f}<extra></extra>",
    }


def error_updates(curves: dict[str, Curve], names: tuple[str, ...], changed: str) -> dict[str, dict]:
    """The x and y of the error plot's traces of the initializer `changed`, by trace index."""
    curve, place = curves[changed], 2 * names.index(changed)
    lines = [curve.line("function"), curve.line("frobenius")]
    return {str(place + number): {"x": x, "y": y} for number, (x, y) in enumerate(lines)}


def _error_trace(name: str, quantity: str, x: np.ndarray, y: np.ndarray) -> dict:
    color, symbol = STYLES[name]
    line = curve_line(
        name, color, symbol, ERROR_DASHES[quantity.lower()],
        f"{name}<br>rank %{{x}}<br>{quantity} error %{{y:.4f}}<extra></extra>",
    )  # fmt: skip
    return line | {"x": np.asarray(x, dtype=np.float32), "y": np.asarray(y, dtype=np.float32)}


def curve_line(name: str, color: str, symbol: str, dash: str, hover: str) -> dict:
    """A trace of a curve without its points: the solid one of a name has markers and stands in the legend for all."""
    solid = dash == "solid"
    return {
        "type": "scatter",
        "mode": "lines+markers" if solid else "lines",
        "name": name,
        "legendgroup": name,
        "showlegend": solid,
        "line": {"color": color, "dash": dash, "width": 2 if solid else 1.5},
        "marker": {"color": color, "symbol": symbol, "size": 7, "maxdisplayed": 9},
        "hovertemplate": hover,
    }


def _key_trace(quantity: str) -> dict:
    """A trace without points, which says in the legend what a dash means."""
    nothing = np.full(1, np.nan, dtype=np.float32)
    line = {"color": "#808080", "dash": ERROR_DASHES[quantity.lower()], "width": 2}
    name = f"{quantity} error"
    return {"type": "scatter", "mode": "lines", "name": name, "meta": "key", "x": nothing, "y": nothing, "line": line}


def at_rank(plot: dict, ranks: np.ndarray, rank: int) -> list[dict]:
    """The plot's traces with their by-rank values taken at the table rank nearest to `rank`."""
    nearest = int(np.abs(np.asarray(ranks) - rank).argmin())
    data = [{**trace, "marker": dict(trace.get("marker", {}))} for trace in plot["data"]]
    for entry in plot["by_rank"]:
        trace, (*path, last) = data[entry["trace"]], entry["attribute"].split(".")
        for name in path:
            trace = trace[name]
        trace[last] = entry["values"][nearest]
    return data


def spectrum_plot(values: np.ndarray, energy: np.ndarray, law: np.ndarray, fits: bool, stable: float) -> dict:
    """Singular values on a log axis, the share of energy kept, and the law of a random draw."""
    ranks = np.arange(1, len(values) + 1, dtype=np.float32)
    top = float(values[0]) or 1.0
    shown = np.maximum(values, top * 1e-6)
    low = np.log10(max(float(shown[-1]), top * 1e-3)) - 0.1
    verdict = "A random draw: they follow the Marchenko-Pastur law" if fits else "Not a random draw: the law is off"
    law_trace = _line("random draw (Marchenko-Pastur)", ranks, law, "#8a8a8a", "dot", "singular value %{y:.3g}")
    law_trace["visible"] = True if fits else "legendonly"
    return {
        "id": "spectrum",
        "label": "Singular values",
        "caption": f"Singular values of the matrix, shaded where they are kept, and the energy (share of |W|²) kept. "
        f"{verdict}. Stable rank {stable:.3g}.",
        "data": [
            _line("singular values", ranks, shown, "#0072B2", "solid", "singular value %{y:.3g}"),
            law_trace,
            {**_line("energy kept", ranks, energy, "#8C6D31", "dash", "energy %{y:.1%}"), "yaxis": "y2"},
        ],
        "layout": {
            "margin": {"r": 58},
            "xaxis": {"title": {"text": "index, rank"}, "range": [0, len(values) + 0.5]},
            "yaxis": {
                "title": {"text": "singular value"},
                "type": "log",
                "range": [low, np.log10(max(top, float(law[0]))) + 0.1],
            },
            "yaxis2": {
                "title": {"text": "energy kept"},
                "overlaying": "y",
                "side": "right",
                "range": [0, 1.02],
                "tickformat": ".0%",
                "tickmode": "auto",
                "showgrid": False,
            },
        },
        "rank_axis": True,
        "kept": True,
        "by_rank": [],
    }


def _line(name: str, x: np.ndarray, y: np.ndarray, color: str, dash: str, hover: str) -> dict:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": np.asarray(y, dtype=np.float32),
        "line": {"color": color, "dash": dash, "width": 2},
        "hovertemplate": f"rank %{{x}}<br>{hover}<extra>{name}</extra>",
    }


def neuron_plot(
    norms: np.ndarray,
    neurons: np.ndarray,
    tables: dict[str, tuple[np.ndarray, np.ndarray]],
    count: int,
    inputs: str,
    remark: str = "",
) -> dict:
    """Neurons by norm and by how well the subspace holds them (rho); area is what each loses.

    `tables` maps at most two initializers to (rho, loss), each (ranks, neurons): spectral as rings, the other filled.
    """
    reach = max(float(loss.max(initial=0)) for _, loss in tables.values()) or 1.0
    data, by_rank = [], []
    for name, (rho, loss) in tables.items():
        color, symbol = STYLES[name]
        ring = name == "spectral" and len(tables) > 1
        by_rank += [
            {"trace": len(data), "attribute": "y", "values": rho},
            {"trace": len(data), "attribute": "marker.size", "values": loss},
        ]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": norms.astype(np.float32),
                "y": rho[0],
                "text": [f"neuron {index}" for index in neurons],
                "marker": {
                    "symbol": f"{symbol}-open" if ring else symbol,
                    "color": color,
                    "opacity": 0.9 if ring else 0.55,
                    "size": loss[0],
                    "sizemode": "area",
                    "sizeref": 2 * reach / 16**2,
                    "sizemin": 1,
                    "line": {"width": 1 if ring else 0},
                },
                "hovertemplate": f"%{{text}} ({name})<br>|w| %{{x:.3g}}, ρ %{{y:.3f}}<br>loses %{{marker.size:.3f}}"
                "<extra></extra>",
            }
        )
    spread = float(norms.max() - norms.min()) or float(norms.max()) or 1.0
    part = f"{len(neurons)} of {count} neurons, " if len(neurons) < count else ""
    return {
        "id": "neurons",
        "label": "Neurons: rho against norm",
        "caption": f"{part}ρ: cosine between a neuron and its low-rank replacement (no inputs). Area: what it loses "
        f"({inputs}), in units of a mean neuron's output energy; rings: what spectral loses. {remark}",
        "data": data,
        "layout": {
            "xaxis": {
                "title": {"text": "norm of the neuron, |w|"},
                "range": [float(norms.min()) - 0.06 * spread, float(norms.max()) + 0.06 * spread],
            },
            "yaxis": {"title": {"text": "ρ"}, "range": [-0.05, 1.05]},
        },
        "rank_axis": False,
        "by_rank": by_rank,
    }


def filter_plot(before: np.ndarray, after: np.ndarray, initializer: str) -> dict:
    """The filters of a first convolution before (H, W, 3) and after (ranks, H, W, 3) as pictures.

    `after` (H, W, 3) is one picture for all ranks: nothing is known yet, and nothing should be sent for it.
    """
    return {
        "id": "filters",
        "kind": "images",
        "label": "Filters before and after",
        "caption": f"Filters (36 at most) and what {initializer} makes of them at this rank. Gray: zero.",
        "images": [
            {"label": "before", "values": before},
            {"label": "after", ("by_rank" if after.ndim == 4 else "values"): after},
        ],
    }


_COLOR = "#8C6D31"


def time_plot(time: LayerTime | None, per_rank: float | None, max_rank: int) -> dict:
    """Milliseconds against rank; empty while nothing is measured.

    `per_rank` are the multiply-adds that one more rank adds over those of the layer as it is.
    """
    updates = time_updates(time, per_rank, max_rank)
    data = [
        _trace("factorized", "solid", "circle") | updates["data"]["0"],
        _trace("as it is", "dash") | updates["data"]["1"],
        _trace("by multiply-adds", "dot") | updates["data"]["2"],
    ]
    return {
        "id": "time",
        "label": "Time against rank",
        "caption": updates["caption"],
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": "rank"}, "range": [0, max_rank + 0.5]},
            "yaxis": {"title": {"text": "ms"}, "autorange": True, "rangemode": "tozero"},
        },
        "rank_axis": True,
        "by_rank": [],
    }


def time_updates(time: LayerTime | None, per_rank: float | None, max_rank: int) -> dict:
    """The caption, and x and y of the traces by their index."""
    nothing = np.zeros(0, dtype=np.float32)
    if time is None:
        empty = {str(trace): {"x": nothing, "y": nothing} for trace in range(3)}
        return {"data": empty, "caption": "Measured on this machine once the curves are complete."}
    ends = np.array([0, max_rank], dtype=np.float32)
    promised = nothing if per_rank is None else time.original_ms * per_rank * ends
    data = {
        "0": {"x": time.ranks.astype(np.float32), "y": time.ms.astype(np.float32)},
        "1": {"x": ends, "y": np.full(2, time.original_ms, dtype=np.float32)},
        "2": {"x": nothing if per_rank is None else ends, "y": promised.astype(np.float32)},
    }
    largest = time.largest_faster(max_rank)
    verdict = f"Faster than the layer as it is up to rank {largest}" if largest else "Slower at rank 1 already"
    caption = (
        f"Milliseconds of one prediction of this layer alone, the least of several measured here ({time.how}); factors "
        f"applied one after the other. {verdict}; dotted: what its multiply-adds alone would take."
    )
    return {"data": data, "caption": caption}


def _trace(name: str, dash: str, symbol: str = "") -> dict:
    trace = {
        "type": "scatter",
        "mode": "lines+markers" if symbol else "lines",
        "name": name,
        "line": {"color": _COLOR, "dash": dash, "width": 2 if symbol else 1.5},
        "hovertemplate": f"{name}<br>rank %{{x}}<br>%{{y:.3g}} ms<extra></extra>",
    }
    return trace | ({"marker": {"color": _COLOR, "symbol": symbol, "size": 7}} if symbol else {})
