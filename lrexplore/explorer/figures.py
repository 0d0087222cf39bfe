"""Plots as plain descriptions: plotly traces of numpy arrays, which traces follow the rank, one sentence each.

One color and marker means one initializer in every plot. The seven of the palette that are drawn side by side are
told apart by color-blind readers (Okabe and Ito's, and a gray); Frobenius errors are dashed. The variants of
`whitened` have its star in other shades and shapes.
"""

import numpy as np

from lrexplore.explorer.curve import Curve

STYLES = {
    "independent": ("#7f7f7f", "x"),
    "spectral": ("#0072B2", "square"),
    "rescaled": ("#E69F00", "triangle-up"),
    "function": ("#D55E00", "circle"),
    "sampled": ("#CC79A7", "diamond"),
    "whitened": ("#009E73", "star"),
    "refined": ("#56B4E9", "cross"),
    "whitened_function": ("#7F6BD6", "triangle-down"),
    "whitened_centred": ("#44AA99", "pentagon"),
    "whitened_plain": ("#999933", "hexagon"),
}

NO_GAIN = ("independent", "spectral")


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
        x = curve.ranks if curve else np.zeros(0)
        for quantity, dash in (("function", "solid"), ("Frobenius", "dash")):
            y = getattr(curve, f"{quantity.lower()}_error") if curve else np.zeros(0)
            data.append(_error_trace(name, quantity, dash, x, y) | {"visible": name in drawn})
    if floor is not None:
        data.append(_floor_trace(*floor))
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
        trace = _error_trace(name, "function", "solid", x, y)
        trace["hovertemplate"] = f"{name}<br>rank %{{x}}<br>%{{y:+.2f}} % of the output energy<extra></extra>"
        data.append(trace | {"visible": name in drawn})
    return {
        "id": "gain",
        "label": "Function error against spectral",
        "caption": f"How much less (below 0) or more the layer loses as a function than with spectral, at the same "
        f"cost ({inputs}). {remark}",
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": "rank"}, "range": [0, max_rank + 0.5]},
            "yaxis": {"title": {"text": "% of output energy"}, "autorange": True, "rangemode": "tozero"},
        },
        "rank_axis": True,
        "by_rank": [],
    }


def _with_gain(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name not in NO_GAIN]


def _difference(curves: dict[str, Curve], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Ranks, and function error minus spectral's in percent, where both are known."""
    if not {name, "spectral"} <= curves.keys():
        return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32)
    curve, spectral = curves[name], curves["spectral"]
    ranks, mine, theirs = np.intersect1d(curve.ranks, spectral.ranks, return_indices=True)
    change = 100 * (curve.function_error[mine] - spectral.function_error[theirs])
    return ranks.astype(np.float32), change.astype(np.float32)


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
    x = curve.ranks.astype(np.float32)
    return {
        str(place): {"x": x, "y": curve.function_error},
        str(place + 1): {"x": x, "y": curve.frobenius_error},
    }


def _error_trace(name: str, quantity: str, dash: str, x: np.ndarray, y: np.ndarray) -> dict:
    color, symbol = STYLES[name]
    solid = dash == "solid"
    return {
        "type": "scatter",
        "mode": "lines+markers" if solid else "lines",
        "name": name,
        "legendgroup": name,
        "showlegend": solid,
        "x": np.asarray(x, dtype=np.float32),
        "y": np.asarray(y, dtype=np.float32),
        "line": {"color": color, "dash": dash, "width": 2 if solid else 1.5},
        "marker": {"color": color, "symbol": symbol, "size": 7, "maxdisplayed": 9},
        "hovertemplate": f"{name}<br>rank %{{x}}<br>{quantity} error %{{y:.4f}}<extra></extra>",
    }


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
