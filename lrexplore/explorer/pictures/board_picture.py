"""A still picture of a board of curves and heat maps, for where no widget runs: GitHub, nbviewer, a printed page."""

from collections.abc import Mapping
from io import BytesIO

import numpy as np

from lrexplore.explorer.pictures.layer_picture import DASHES, MARKERS, literal

COLUMNS = 3
INK = "#222222"


def draw_board_png(frame: Mapping) -> bytes:
    """PNG bytes of a board's plots, three in a row, its title above and one legend below; it holds numpy arrays.

    Empty where the board has no plot.
    """
    from matplotlib.figure import Figure

    if not frame["plots"]:
        return b""
    columns = min(COLUMNS, len(frame["plots"]))
    rows = -(-len(frame["plots"]) // columns)
    width, height = 5 * columns, 3.3 * rows + 1.2
    figure = Figure(figsize=(width, height), dpi=72)
    named_rows = any(trace["type"] == "heatmap" for plot in frame["plots"] for trace in plot["data"])
    left, apart = (1.3, 0.4) if named_rows else (0.75, 0.28)
    room = {"left": left / width, "right": 1 - 0.2 / width, "top": 1 - 0.8 / height, "bottom": 1.1 / height}
    figure.subplots_adjust(**room, wspace=apart, hspace=0.42)
    figure.suptitle(literal(frame["title"]), fontsize=11)
    named = {}
    for place, plot in enumerate(frame["plots"], 1):
        axes = figure.add_subplot(rows, columns, place)
        for trace in plot["data"]:
            if trace["type"] == "heatmap":
                _heat(figure, axes, trace)
            elif len(trace["x"]):
                line = _line(axes, trace)
                if trace.get("showlegend", True):
                    named.setdefault(trace["name"], line)
        _frame(axes, plot)
    words = [literal(name) for name in named]
    figure.legend(named.values(), words, loc="lower center", ncols=4, fontsize=8, frameon=False)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _line(axes, trace: Mapping):
    """What stands for the trace in a legend."""
    color = INK if trace["line"]["color"] == "currentColor" else trace["line"]["color"]
    if trace.get("fill") == "toself":
        return axes.fill(trace["x"], trace["y"], color=color, alpha=0.18, linewidth=0)[0]
    width = 0.8 * trace["line"]["width"]
    style = {"color": color, "linestyle": DASHES[trace["line"].get("dash", "solid")], "linewidth": width}
    if trace["mode"] == "lines+markers":
        symbol = trace["marker"]["symbol"]
        style |= {"marker": MARKERS[symbol.removesuffix("-open")], "markersize": 4}
        style |= {"markevery": max(1, len(trace["x"]) // 12), "markerfacecolor": color}
        if symbol.endswith("-open"):
            style["markerfacecolor"] = "none"
    return axes.plot(trace["x"], trace["y"], alpha=trace.get("opacity", 1), **style)[0]


def _heat(figure, axes, trace: Mapping) -> None:
    """Color for every row of `y` over x, first one on top, its bar in the numbers of the trace."""
    if not len(trace["x"]):
        return
    mesh = axes.pcolormesh(trace["x"], np.arange(len(trace["y"])), trace["z"], cmap="viridis", shading="nearest")
    axes.set_yticks(np.arange(len(trace["y"])), [literal(layer) for layer in trace["y"]], fontsize=6)
    axes.invert_yaxis()
    bar = figure.colorbar(mesh, ax=axes)
    if "tickvals" in trace["colorbar"]:
        bar.set_ticks(trace["colorbar"]["tickvals"], labels=trace["colorbar"]["ticktext"])
    bar.ax.tick_params(labelsize=7)


def _frame(axes, plot: Mapping) -> None:
    """Title, words on the axes, and which of them are logarithmic."""
    across, up = plot["layout"]["xaxis"], plot["layout"]["yaxis"]
    axes.set_title(literal(plot["label"]), fontsize=10, loc="left", fontweight="bold")
    axes.set_xlabel(across["title"]["text"], fontsize=9)
    axes.set_ylabel(up["title"]["text"], fontsize=9)
    axes.tick_params(labelsize=8)
    for axis, layout in (("x", across), ("y", up)):
        if layout.get("type") == "log":
            getattr(axes, f"set_{axis}scale")("log")
    for note in plot["layout"].get("annotations", ()):
        axes.text(note["x"], note["y"], note["text"], transform=axes.transAxes, ha="center", color="#777777")
    if not any(trace["type"] == "heatmap" for trace in plot["data"]):
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
