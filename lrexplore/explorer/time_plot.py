"""The plot of a layer's measured time against rank, as a plain description, and what a measurement adds to it."""

import numpy as np

from lrexplore.explorer.layer_times import LayerTime

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
