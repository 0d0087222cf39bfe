"""Plots of one layer's matrix and neurons as plain descriptions: spectrum, neurons, filters."""

import numpy as np

from lrexplore.explorer.figures import STYLES


def spectrum_plot(values: np.ndarray, energy: np.ndarray, law: np.ndarray, fits: bool, stable: float) -> dict:
    """Singular values on a log axis, the share of energy kept, and the law of a random draw."""
    ranks = np.arange(1, len(values) + 1, dtype=np.float32)
    top = float(values[0]) or 1.0
    shown = np.maximum(values, top * 1e-6)
    low = np.log10(max(float(shown[-1]), top * 1e-3)) - 0.1
    found = "A random draw: they follow the Marchenko-Pastur law" if fits else "Not a random draw: the law is off"
    law_trace = _line("random draw (Marchenko-Pastur)", ranks, law, "#8a8a8a", "dot", "singular value %{y:.3g}")
    law_trace["visible"] = True if fits else "legendonly"
    return {
        "id": "spectrum",
        "label": "Singular values",
        "caption": f"Singular values of the matrix, shaded where they are kept, and the energy (share of |W|²) kept. "
        f"{found}. Stable rank {stable:.3g}.",
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
