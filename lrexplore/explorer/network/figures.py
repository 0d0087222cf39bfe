"""The Network tab's plots as plain descriptions: what each layer keeps, its errors, the fronts, the photographs.

A method has one color, dash and marker; none of the colors is an initializer's.
"""

from typing import Any

import numpy as np

from lrexplore.theory.styles import METHOD_STYLES

CHOSEN, PINNED, KEPT = "#0F7B8A", "#D9822B", "#9AA0A6"
STATES = (("factorized", CHOSEN, ""), ("pinned", PINNED, "/"), ("left as it is", KEPT, "."))
MEASURED = "#B3261E"
LEAST_ERROR = 1e-3
NUM_PICTURES = 12
MARGIN = {"l": 58, "r": 86, "t": 10, "b": 112}
LABELS = {"tickangle": -55, "tickfont": {"size": 10}, "automargin": False}


def ranks_plot(names: list[str], full: np.ndarray) -> dict:
    """A bar a layer: its rank as a share of its full rank. `ranks_update` fills it."""
    nothing = np.zeros(len(names), dtype=np.float32)
    data = [
        {
            "type": "bar",
            "name": name,
            "x": names,
            "y": nothing,
            "hovertext": [""] * len(names),
            "hovertemplate": "%{hovertext}<extra></extra>",
            "opacity": 0.6 if color == KEPT else 1,
            "marker": {"color": color, "pattern": {"shape": shape, "fillmode": "replace", "fgcolor": color, "size": 6}}
            if shape
            else {"color": color},
        }
        for name, color, shape in STATES
    ]
    return {
        "id": "ranks",
        "label": "Rank of each layer",
        "caption": "Each bar is a layer, input first: its rank as a share of its full rank. Drag the end of a bar to "
        "set its rank by hand: the layer is pinned there, and the others share what is left of the budget. Click a "
        "bar to choose it above.",
        "wide": True,
        "clicks": True,
        "drags": {"trace": 0, "steps": full.astype(np.int32), "word": "rank"},
        "data": data,
        "layout": {
            "height": 330,
            "margin": MARGIN,
            "barmode": "overlay",
            "bargap": 0.18,
            "xaxis": {"type": "category", "range": [-0.5, len(names) - 0.5], "showgrid": False, **LABELS},
            "yaxis": {"title": {"text": "rank / full rank"}, "range": [0, 1.04], "tickformat": ".0%"},
        },
    }


def ranks_update(shares: np.ndarray, states: list[str], words: list[str]) -> dict:
    """The bars' heights and words by trace index; `states` are names of `STATES`, one a layer."""
    shown = np.array(states)
    return {
        str(place): {"y": np.where(shown == name, shares, 0).astype(np.float32), "hovertext": words}
        for place, (name, _, _) in enumerate(STATES)
    }


def heat_plot(
    names: list[str], shares: np.ndarray, errors: np.ndarray, near: np.ndarray, inputs: str, initializer: str
) -> dict:
    """Error of each layer (columns) at shares of its full rank (rows), and where the plan stands.

    `near` is true where an error is read off between two ranks that were computed.
    """
    heat = {
        "type": "heatmap",
        "x": names,
        "y": shares.astype(np.float32),
        **_shades(errors, near),
        "zmin": float(np.log10(LEAST_ERROR)),
        "zmax": 0.0,
        "colorscale": [[0, "#F3F8FC"], [0.35, "#B9D6EA"], [0.65, "#5C9CCB"], [0.85, "#1F5FA0"], [1, "#08264D"]],
        "colorbar": {
            "title": {"text": "function error", "side": "right"},
            "tickvals": [-3, -2, -1, 0],
            "ticktext": ["≤ .001", ".01", ".1", "1"],
            "thickness": 12,
            "outlinewidth": 0,
            "x": 1.005,
            "xpad": 4,
        },
        "hovertemplate": "%{x}<br>%{y:.0%} of the full rank<br>function error %{text}%{customdata:.3g}<extra></extra>",
    }
    chosen = {
        "type": "scatter",
        "mode": "markers",
        "name": "rank on screen",
        "x": names,
        "y": np.full(len(names), -1, dtype=np.float32),
        "marker": {"symbol": "square", "size": 8, "color": "#D55E00", "line": {"color": "#FFFFFF", "width": 1.5}},
        "hoverinfo": "skip",
    }
    return {
        "id": "heat",
        "label": "Error of each layer at each rank",
        "caption": f"Function error ({inputs}, {initializer}) of a layer (column) at a share of its full rank (row): "
        "dark loses much, ≈ read off between computed ranks. Squares are the ranks on screen. A column that stays dark "
        "far up is expensive to shrink. "
        "Click a cell to pin its layer there.",
        "wide": True,
        "clicks": True,
        "data": [heat, chosen],
        "layout": {
            "height": 360,
            "margin": MARGIN,
            "xaxis": {"type": "category", "range": [-0.5, len(names) - 0.5], "showgrid": False, **LABELS},
            "yaxis": {
                "title": {"text": "rank / full rank"},
                "range": [0, 1.02],
                "tickformat": ".0%",
                "showgrid": False,
            },
        },
    }


def _shades(errors: np.ndarray, near: np.ndarray) -> dict:
    shades = np.log10(np.clip(errors, LEAST_ERROR, 1)).astype(np.float32)
    return {"z": shades, "customdata": errors.astype(np.float32), "text": np.where(near, "≈\u2009", "").tolist()}


def filling_heat_plot(names: list[str], shares: np.ndarray, inputs: str, initializer: str) -> dict:
    """The heat map while curves are computed, without what needs all of them; `filling_heat_update` fills it."""
    nothing = np.full((len(shares), len(names)), np.nan)
    plot = heat_plot(names, shares, nothing, np.isnan(nothing), inputs, initializer)
    heat = plot["data"][0] | {"hoverongaps": False}
    caption = (
        f"Partial: a column appears when the curve of its layer is computed. Function error ({inputs}, {initializer}) "
        "of a layer (column) at a share of its full rank (row): dark loses much. A budget is spent over all layers, so "
        "ranks are chosen when the last column is there."
    )
    return plot | {"clicks": False, "caption": caption, "data": [heat]}


def filling_heat_update(errors: np.ndarray, near: np.ndarray) -> dict:
    """A filling heat map's errors (shares, layers), NaN where the curve is not there yet; `near` as of `heat_plot`."""
    num_curves = int(np.isfinite(errors).all(0).sum())
    title = f"Error of each layer at each rank: {num_curves} of {errors.shape[1]} layers so far"
    return {"title": title, "data": {"0": _shades(errors, near)}}


def heat_update(shares: np.ndarray) -> dict:
    """Where the plan stands on the heat map, by trace index; below 0, out of sight, for layers left as they are."""
    return {"1": {"y": shares.astype(np.float32)}}


def front_plot(unit: str, inputs: str, *, weighed: bool = False) -> dict:
    """Predicted error against cost, a line a method, the plan on screen and what was measured. `front_update` fills it.

    `weighed` says that layers count by how far they move the network's output: what is predicted is then a divergence,
    and is measured.
    """
    data = []
    for name, (color, dash, symbol) in METHOD_STYLES.items():
        words = name.replace("_", " ")
        data.append(
            _unfilled(
                words, "lines+markers", f"{words}<br>%{{x:.3f}} × {unit}<br>predicted error %{{y:.3g}}",
                line={"color": color, "dash": dash, "width": 2.5 if name == "optimal" else 1.5},
                marker={"color": color, "symbol": symbol, "size": 7},
            )
        )  # fmt: skip
    data.append(
        _unfilled(
            "plan on screen", "markers", f"on screen<br>%{{x:.3f}} × {unit}<br>predicted error %{{y:.3g}}",
            marker={"symbol": "star", "size": 15, "color": PINNED, "line": {"color": "#FFFFFF", "width": 1}},
        )
    )  # fmt: skip
    if weighed:
        hover = f"measured<br>%{{x:.3f}} × {unit}<br>KL divergence %{{y:.3g}} nats, %{{customdata:.3g}} was predicted"
        data.append(
            _unfilled(
                "measured", "markers", hover, customdata=np.zeros(0, dtype=np.float32),
                marker={"symbol": "cross", "size": 10, "color": MEASURED},
            )
        )  # fmt: skip
    return {
        "id": "front",
        "label": f"{'Predicted and measured' if weighed else 'Predicted'} error against {unit}",
        "caption": front_caption(inputs, weighed=weighed),
        "clicks": True,
        "data": data,
        "layout": {
            "height": 400,
            "xaxis": {"title": {"text": f"{unit}, after / before"}, "range": [0, 1.02]},
            "yaxis": {
                "title": {"text": "KL divergence (nats)" if weighed else "predicted error"},
                "type": "log",
                "autorange": True,
                "dtick": "D2",
            },
        },
    }


def _unfilled(name: str, mode: str, hover: str, **style: Any) -> dict:
    """A trace of the front whose points are sent later."""
    nothing: np.ndarray = np.zeros(0, dtype=np.float32)
    trace = {"type": "scatter", "mode": mode, "name": name, "x": nothing, "y": nothing}
    return trace | style | {"hovertemplate": f"{hover}<extra></extra>"}


def front_caption(inputs: str, *, weighed: bool, measured: str = "") -> str:
    """What the front shows; `measured` says how far off the prediction was."""
    times = ", each times how far it moves the network's output," if weighed else ""
    crosses = f" Crosses: what was measured of plans like these. {measured}" if weighed else ""
    return (
        f"The sum of the layers' function errors ({inputs}){times} at each budget, for our allocation and "
        "for rules that others use, with the pins on screen. Lower is better; the star is the plan on screen."
        f"{crosses} Click a point to take its budget and method. Less than {LEAST_ERROR:g} is drawn as {LEAST_ERROR:g}."
    )


def measured_update(ratios: np.ndarray, predicted: np.ndarray, measured: np.ndarray) -> dict:
    """The plans that were judged, by trace index."""
    at = {"x": ratios, "y": np.maximum(measured, LEAST_ERROR), "customdata": predicted}
    return {str(len(METHOD_STYLES) + 1): {name: values.astype(np.float32) for name, values in at.items()}}


def front_update(method: str, ratios: np.ndarray, errors: np.ndarray) -> dict:
    """One method's line, by trace index."""
    place = list(METHOD_STYLES).index(method)
    return {str(place): {"x": ratios.astype(np.float32), "y": np.maximum(errors, LEAST_ERROR).astype(np.float32)}}


def point_update(ratio: float, error: float) -> dict:
    """The plan on screen, by trace index."""
    at = {"x": np.array([ratio], dtype=np.float32), "y": np.array([max(error, LEAST_ERROR)], dtype=np.float32)}
    return {str(len(METHOD_STYLES)): at}


def samples_plot(pictures: np.ndarray, *, random: bool = False) -> dict:
    """The judged inputs as pictures; `samples_update` writes what the networks say below them."""
    untrained = " The network has random weights: what it says means nothing yet." if random else ""
    return {
        "id": "samples",
        "kind": "images",
        "smooth": True,
        "label": "What the network says",
        "caption": "The first of the inputs that the network is judged by (none of them was used for calibration), "
        "with the most likely class before and after, and its probability. Agreement and KL divergence are over as "
        f"many inputs as they say.{untrained}",
        "images": [{"label": "", "values": picture, "notes": []} for picture in pictures[:NUM_PICTURES]],
    }


def samples_update(lines: list[list[str]], marks: list[str]) -> dict:
    """Words below the pictures, and whether each changed its class, by number."""
    return {
        str(number): {"notes": notes, "mark": mark}
        for number, (notes, mark) in enumerate(zip(lines, marks, strict=True))
    }
