"""A made-up frame for panel tests and benchmarks: three plots of 500 points that change with the rank, and images."""

import numpy as np

from lrexplore.explorer.panel.arrays import pack

NUM_POINTS, MAX_RANK, NUM_LAYERS = 500, 64, 54
COLORS = ("#0072b2", "#d55e00", "#009e73")


def demo_table() -> dict:
    """Table of 54 layers, two of which cannot be chosen."""
    columns = [
        {"key": "name", "label": "name"},
        {"key": "shape", "label": "shape"},
        {"key": "parameters", "label": "params", "align": "right"},
        {"key": "stable_rank", "label": "stable rank", "align": "right"},
        {"key": "follows", "label": "follows"},
    ]
    rows = []
    for index in range(NUM_LAYERS):
        width = 64 * 2 ** (index % 4)
        rows.append(
            {
                "name": f"layer{1 + index // 14}.{index % 14 // 3}.conv{1 + index % 3}",
                "shape": f"{width} × {9 * width}",
                "parameters": f"{9e-6 * width**2:.3g} M",
                "stable_rank": f"{width / (2.1 + index % 5):.0f}",
                "follows": "BN, ReLU" if index % 3 else "BN, then add",
                "disabled": "a depthwise kernel has rank 1 per group" if index in (7, 23) else None,
            }
        )
    return {"columns": columns, "rows": rows, "label": "layers of demo"}


def demo_frame(layer: str = "layer1.0.conv1", *, seed: int = 0, max_rank: int = MAX_RANK, ranks=None) -> dict:
    """Frame of one layer whose values all come from `seed`."""
    generator = np.random.default_rng(seed)
    ranks = np.arange(1, max_rank + 1) if ranks is None else np.asarray(ranks)
    every = np.arange(1, max_rank + 1)
    error = np.sqrt(1 - (every / (max_rank + 1)) ** (0.6 + 0.1 * (seed % 3)))
    return {
        "key": f"{layer}|{seed}",
        "max_rank": max_rank,
        "marks": [
            {"rank": max(1, max_rank // 4), "label": "stable rank"},
            {"rank": int(max_rank * 0.88), "label": "break-even"},
        ],
        "ranks": pack(ranks),
        "title": f"{layer} · 256 × 2304 · conv 3×3, then BN, ReLU",
        "readouts": _readouts(every, error, max_rank),
        "plots": [
            _error_plot(every, error),
            _spectrum(ranks, generator),
            _neurons(ranks, generator),
            _curves(ranks, generator),
            _filters(ranks, generator),
        ],
    }


def _readouts(ranks, error, max_rank) -> list:
    return [
        {
            "id": "function_error",
            "label": "function error",
            "format": "3g",
            "values": pack(error * 0.8),
            "note": "Gaussian inputs, ReLU",
        },
        {"id": "frobenius_error", "label": "Frobenius error", "format": "3g", "values": pack(error)},
        {
            "id": "parameters",
            "label": "parameters kept",
            "format": "pct",
            "values": pack(ranks / (0.88 * max_rank)),
            "note": "of 0.59 M",
        },
        {"id": "flops", "label": "multiply-adds", "format": "si", "unit": "a sample", "values": pack(1.1e6 * ranks)},
    ]


def _error_plot(ranks, error) -> dict:
    data = []
    for index, (name, color) in enumerate(zip(("spectral", "rescaled", "function"), COLORS, strict=True)):
        scale = 1.02 - 0.08 * index
        for kind, dash in (("function", "solid"), ("Frobenius", "dash")):
            y = error * scale * (0.85 if kind == "function" else 1)
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"{name}, {kind}",
                    "x": pack(ranks),
                    "y": pack(y),
                    "line": {"color": color, "dash": dash, "width": 2},
                }
            )
    layout = {
        "xaxis": {"title": {"text": "rank"}, "range": [0, len(ranks) + 1]},
        "yaxis": {"title": {"text": "relative error"}, "range": [0, 1.05]},
        "showlegend": True,
        "hovermode": "x",
    }
    return {
        "id": "error",
        "label": "Error against rank",
        "caption": "How much of the layer's output is lost at each rank; the solid line is what the network sees.",
        "data": data,
        "layout": layout,
        "rank_axis": True,
    }


def _spectrum(ranks, generator) -> dict:
    base = np.sort(np.abs(generator.normal(size=NUM_POINTS)))[::-1] + 0.01
    x = np.linspace(1, max(ranks), NUM_POINTS)
    wobble = 1 + 0.2 * np.sin(np.arange(NUM_POINTS) / 40 + ranks[:, None] / 8)
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "singular values",
            "x": pack(x),
            "y": pack(base),
            "line": {"color": COLORS[0]},
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "Marchenko–Pastur law",
            "x": pack(x),
            "y": pack(base * 0.9),
            "line": {"color": "#888888", "dash": "dot"},
        },
    ]
    layout = {
        "xaxis": {"title": {"text": "rank"}, "range": [0, max(ranks) + 1]},
        "yaxis": {"type": "log", "title": {"text": "singular value"}, "range": [-2.2, 0.8]},
    }
    return {
        "id": "spectrum",
        "label": "Singular values",
        "caption": "What is kept (shaded) and what is dropped.",
        "data": data,
        "layout": layout,
        "rank_axis": True,
        "kept": True,
        "by_rank": [{"trace": 0, "attribute": "y", "values": pack(base * wobble)}],
    }


def _neurons(ranks, generator) -> dict:
    x = np.abs(generator.normal(1, 0.2, size=NUM_POINTS))
    y = np.clip(generator.normal(0.5, 0.12, size=NUM_POINTS) + 0.4 * ranks[:, None] / max(ranks), 0, 1)
    size = 4 + 8 * (1 - y)
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "neurons",
            "x": pack(x),
            "y": pack(y[0]),
            "marker": {"color": COLORS[2], "opacity": 0.65, "size": pack(size[0])},
        }
    ]
    layout = {
        "xaxis": {"title": {"text": "norm of the neuron's weights"}, "range": [0.2, 1.8]},
        "yaxis": {"title": {"text": "correlation kept, ρ"}, "range": [0, 1.05]},
        "showlegend": False,
    }
    return {
        "id": "neurons",
        "label": "Neurons",
        "caption": "Each neuron: what the factors keep of it, against how strong it is; area is what it loses.",
        "data": data,
        "layout": layout,
        "by_rank": [
            {"trace": 0, "attribute": "y", "values": pack(y)},
            {"trace": 0, "attribute": "marker.size", "values": pack(size)},
        ],
    }


def _curves(ranks, generator) -> dict:
    x = np.linspace(0, 1, NUM_POINTS)
    waves = np.cumsum(generator.normal(size=(2, NUM_POINTS)), axis=1) / 20
    data = [
        {"type": "scatter", "mode": "lines", "name": name, "x": pack(x), "y": pack(wave)}
        for name, wave in zip(("before", "after"), waves, strict=True)
    ]
    layout = {
        "xaxis": {"title": {"text": "position"}, "range": [0, 1]},
        "yaxis": {"title": {"text": "response"}, "range": [-4, 4]},
    }
    tables = [pack(wave * (1 + 0.5 * np.cos(ranks[:, None] / 9 + index))) for index, wave in enumerate(waves)]
    return {
        "id": "curves",
        "label": "Responses",
        "caption": "Two curves of 500 points that change with the rank.",
        "data": data,
        "layout": layout,
        "by_rank": [{"trace": index, "attribute": "y", "values": table} for index, table in enumerate(tables)],
    }


def _filters(ranks, generator) -> dict:
    before = generator.integers(0, 255, size=(64, 64, 3), dtype=np.uint8)
    shade = ranks[:, None, None, None] / max(ranks)
    after = (127 + (before.astype(float) - 127) * shade).astype(np.uint8)
    return {
        "id": "filters",
        "kind": "images",
        "label": "Filters",
        "caption": "The kernels of this convolution, before and after.",
        "images": [{"label": "before", "values": pack(before)}, {"label": "after", "by_rank": pack(after)}],
    }
