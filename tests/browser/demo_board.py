"""A made-up board: bars that can be dragged, a heat map and points that can be clicked, pictures with words."""

import numpy as np

from lrexplore.explorer.panel.frames import pack_arrays

NAMES = ["stem", "body", "head"]
FULL = np.array([16, 64, 10])


def demo_board() -> dict:
    """Board of three layers."""
    ranks = np.array([4, 32, 10])
    bars = {"type": "bar", "name": "rank", "x": NAMES, "y": (ranks / FULL).astype(np.float32)}
    heat = {"type": "heatmap", "x": NAMES, "y": [0.25, 0.5, 1.0], "z": np.arange(9.0).reshape(3, 3)}
    points = {"type": "scatter", "mode": "markers", "name": "plans", "x": [0.2, 0.4, 0.8], "y": [3.0, 2.0, 1.0]}
    pixels = np.full((8, 8, 3), 200, dtype=np.uint8)
    return {
        "key": "demo",
        "board": True,
        "title": "demo · three layers",
        "slider": {
            "label": "budget", "unit": "of the parameters", "min": 0.1, "max": 1.0, "step": 0.01,
            "marks": [{"value": 0.1, "label": "smallest 0.1"}],
        },
        "readouts": [
            {"id": "error", "label": "predicted error", "value": 0.4321, "note": "Gaussian inputs"},
            {"id": "agreement", "label": "agreement", "format": "pct", "value": None, "missing": "not run"},
            {"id": "inputs", "label": "inputs", "text": "Gaussian"},
        ],
        "plots": [
            _plot("ranks", [bars], wide=True, clicks=True, drags={"trace": 0, "steps": FULL, "word": "rank"},
                  layout={"yaxis": {"range": [0, 1.05]}}),
            _plot("heat", [heat], clicks=True),
            _plot("front", [points], clicks=True),
            {
                "id": "images", "kind": "images", "label": "photographs", "smooth": True, "wide": True,
                "images": [{"label": "", "values": pixels, "notes": ["was: a cat", "now: a dog"], "mark": "changed"}],
            },
        ],
    }  # fmt: skip


def packed_board() -> dict:
    """The same, as the browser gets it."""
    return pack_arrays(demo_board())


def _plot(plot_id: str, data: list, **more) -> dict:
    caption = f"What {plot_id} shows."
    return {"id": plot_id, "label": plot_id, "caption": caption, "data": data, "layout": {}} | more
