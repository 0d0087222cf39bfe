"""The frame of one attention head: its errors, its spectrum, and where it stands among all heads."""

import numpy as np

from lrexplore.explorer.layer.heads.head_map import ENERGY, ERROR, HeadMap, short_names
from lrexplore.explorer.layer.heads.head_study import BEST, PLAIN, HeadStudy
from lrexplore.network.attention.head_layers import HeadLayer

COLOR, GRAY, ENERGY_COLOR = "#0072B2", "#8a8a8a", "#8C6D31"
PRODUCTS = {"QK": "query-key", "OV": "output-value"}
LEAST_ERROR = 1e-3


def words_of(layer: HeadLayer) -> str:
    """Which head and product it is, as a person says it."""
    return f"head {layer.head.place} · {PRODUCTS[layer.kind]}"


def build_head_frame(layer: HeadLayer, study: HeadStudy, heads: HeadMap, shown: str, key: str) -> dict:
    """The whole frame for the panel, numpy arrays inside; `shown` is what the map of heads has."""
    ranks = np.arange(1, study.max_rank + 1)
    attention = layer.head.attention or "the model itself"
    rotary = " · rotary: an odd rank keeps as much as the even one below it" if layer.head.rotary else ""
    return {
        "key": key,
        "max_rank": study.max_rank,
        "ranks": ranks.astype(np.int32),
        "title": f"{layer.name} · {words_of(layer)} product of {attention} · {study.max_rank} dimensions of "
        f"{layer.head.model_dimension} · {study.inputs_in_full}{rotary}",
        "marks": [],
        "readouts": _readouts(layer, study, ranks),
        "plots": [
            _error_plot(study, ranks),
            _spectrum_plot(study, ranks),
            _map_plot(layer, heads, shown, study.max_rank),
        ],
    }


def _readouts(layer: HeadLayer, study: HeadStudy, ranks: np.ndarray) -> list[dict]:
    share, numbers = ranks / study.max_rank, layer.num_parameters
    listed = [
        ("head_error", f"error of the {study.lost}", "error", study.errors[BEST], _meaning(layer, study)),
        ("energy", "energy kept", "pct", study.energy, "share of |A|² of the product A in its top singular values"),
        ("parameters", "parameters", "3g", share, f"× the head's {numbers:,} in both projections; below 1 saves"),
        ("saved", "saves", "si", numbers * (1 - share), "parameters of this product of this head"),
    ]
    if PLAIN in study.errors:
        note = f"the weights' own truncated SVD, on the same {study.inputs}"
        listed.insert(1, ("plain_error", "of the truncated SVD", "error", study.errors[PLAIN], note))
    if layer.flops:
        note = f"× {layer.flops / 1e6:.3g} M in its part of the projections, without the attention; {layer.measured}"
        listed.append(("flops", "multiply-adds", "3g", share, note))
    return [
        {"id": id, "label": label, "format": format, "values": np.asarray(values, dtype=np.float32), "note": note}
        for id, label, format, values, note in listed
    ]


def _meaning(layer: HeadLayer, study: HeadStudy) -> str:
    if layer.kind == "QK":
        return (
            f"relative squared, for a query and a key drawn apart, without what is constant over keys; {study.inputs}"
        )
    return f"relative squared, of what the head adds to the layer's output, about its mean; {study.inputs}"


def _error_plot(study: HeadStudy, ranks: np.ndarray) -> dict:
    styles = {BEST: ("solid", COLOR, 2), PLAIN: ("dash", GRAY, 1.5)}
    data = []
    for name, errors in study.errors.items():
        dash, color, width = styles[name]
        data.append(_line(name, ranks, errors, color, dash, "error %{y:.4f}", width))
    best = "the best factors of each rank" if PLAIN not in study.errors else (
        "solid the factors that are the best for these inputs, dashed the truncated SVD of the weights"
    )  # fmt: skip
    return {
        "id": "error",
        "label": f"Error of the {study.lost} against rank",
        "caption": f"What the head's {study.lost} lose at each rank ({study.inputs}): {best}. "
        "At its full rank nothing is lost. Click to set the rank.",
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": "rank"}, "range": [0, study.max_rank + 0.5]},
            "yaxis": {"title": {"text": "relative squared error"}, "range": [0, 1.03]},
        },
        "rank_axis": True,
        "by_rank": [],
    }


def _spectrum_plot(study: HeadStudy, ranks: np.ndarray) -> dict:
    top = float(study.singular_values[0]) or 1.0
    shown = np.maximum(study.singular_values, top * 1e-6)
    low = np.log10(max(float(shown[-1]), top * 1e-3)) - 0.1
    product = "W_q^T W_k, the query bias in, the key bias out (the softmax does not see it)"
    if study.lost == "output":
        product = "W_o W_v"
    return {
        "id": "spectrum",
        "label": "Singular values of the product",
        "caption": f"Singular values of the head's {product}, and the energy (share of the squared norm) kept. Stable "
        f"rank {study.stable_rank:.3g} of {study.max_rank}.",
        "data": [
            _line("singular values", ranks, shown, COLOR, "solid", "singular value %{y:.3g}"),
            {**_line("energy kept", ranks, study.energy, ENERGY_COLOR, "dash", "energy %{y:.1%}"), "yaxis": "y2"},
        ],
        "layout": {
            "margin": {"r": 58},
            "xaxis": {"title": {"text": "index, rank"}, "range": [0, study.max_rank + 0.5]},
            "yaxis": {"title": {"text": "singular value"}, "type": "log", "range": [low, np.log10(top) + 0.1]},
            "yaxis2": {
                "title": {"text": "energy kept"}, "overlaying": "y", "side": "right", "range": [0, 1.02],
                "tickformat": ".0%", "tickmode": "auto", "showgrid": False,
            },
        },
        "rank_axis": True,
        "kept": True,
        "by_rank": [],
    }  # fmt: skip


def _map_plot(layer: HeadLayer, heads: HeadMap, shown: str, max_rank: int) -> dict:
    columns = [name or "the model itself" for name in short_names(heads.attentions)]
    by_rank: list[dict] = []
    scale: dict = {}
    if shown == ERROR:
        values = heads.errors(max_rank)
        by_rank = [{"trace": 0, "attribute": "z", "values": values.astype(np.float32)}]
        values, scale = values[0], {"zmin": 0.0, "zmax": 1.0}
        said = "what each head would lose at the rank on the slider (white inputs)"
    elif shown == ENERGY:
        values, said = heads.ranks_for_energy, "the rank that keeps 90 % of the squared norm of each head's product"
    else:
        values, said = heads.stable_ranks, "the stable rank |A|² / σ₁² of each head's product A"
    format = ".3f" if shown == ERROR else ".0f" if shown == ENERGY else ".3g"
    heat = {
        "type": "heatmap",
        "name": shown,
        "x": columns,
        "y": [f"head {place}" for place in range(len(values))],
        "z": values.astype(np.float32),
        "text": heads.names,
        "hoverongaps": False,
        "colorscale": [[0, "#F3F8FC"], [0.35, "#B9D6EA"], [0.65, "#5C9CCB"], [0.85, "#1F5FA0"], [1, "#08264D"]],
        "colorbar": {"title": {"text": shown, "side": "right"}, "thickness": 12, "outlinewidth": 0, "x": 1.005},
        "hovertemplate": f"%{{text}}<br>{shown} %{{z:{format}}}<extra></extra>",
        **scale,
    }
    chosen = {
        "type": "scatter",
        "mode": "markers",
        "name": "head on screen",
        "x": [columns[heads.attentions.index(layer.head.attention)]],
        "y": [f"head {layer.head.place}"],
        "marker": {"symbol": "square", "size": 9, "opacity": 1, "color": "#D55E00",
                   "line": {"color": "#FFFFFF", "width": 1.5}},
        "hoverinfo": "skip",
    }  # fmt: skip
    return {
        "id": "heads",
        "label": f"All {PRODUCTS[layer.kind]} products: {shown}",
        "caption": f"A column is an attention, input first, a row a head: {said}. Light heads need few dimensions. The "
        "square is the head on screen; click a cell to choose its head. What the map shows is chosen above.",
        "wide": True,
        "clicks": True,
        "data": [heat, chosen],
        "layout": {
            "height": 130 + 22 * max(len(values), 6),
            "margin": {"l": 70, "r": 86, "t": 10, "b": 92},
            "xaxis": {"title": {"text": ""}, "type": "category", "range": [-0.5, len(columns) - 0.5],
                      "showgrid": False, "tickangle": -40, "tickfont": {"size": 10}},
            "yaxis": {"title": {"text": ""}, "type": "category", "range": [len(values) - 0.5, -0.5],
                      "showgrid": False, "tickfont": {"size": 10}},
        },
        "rank_axis": False,
        "by_rank": by_rank,
    }  # fmt: skip


def _line(name: str, x, y, color: str, dash: str, hover: str, width: float = 2) -> dict:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": np.asarray(x, dtype=np.float32),
        "y": np.asarray(y, dtype=np.float32),
        "line": {"color": color, "dash": dash, "width": width},
        "hovertemplate": f"rank %{{x}}<br>{hover}<extra>{name}</extra>",
    }
