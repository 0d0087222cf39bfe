"""A still picture of the plots, for where no widget runs: GitHub, nbviewer, an untrusted notebook."""

from io import BytesIO

import numpy as np

from lrexplore.explorer.layer.figures import at_rank
from lrexplore.explorer.layer.words import lines

DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3)),
          "longdashdot": (0, (8, 3, 1, 3))}  # fmt: skip
MARKERS = {
    **{"x": "x", "square": "s", "triangle-up": "^", "circle": "o", "diamond": "D"},
    **{"star": "*", "cross": "P", "triangle-down": "v", "pentagon": "p", "hexagon": "h"},
    **{"triangle-left": "<", "triangle-right": ">", "hexagram": "H", "octagon": "8"},
    **{"diamond-tall": "d", "bowtie": "X", "y-up": "2", "y-down": "1"},
    **{"star-square": (4, 1, 0), "star-diamond": (4, 1, 45)},
}


COLUMNS = 2


def draw_png(frame: dict, rank: int, heading: str) -> bytes:
    """PNG bytes of all of the frame's plots at a rank, two in a row under a heading; the frame holds numpy arrays."""
    from matplotlib.figure import Figure

    plots = frame["plots"]
    rows = -(-len(plots) // COLUMNS)
    width, height = 5.2 * COLUMNS, 3.4 * rows + 0.6
    figure = Figure(figsize=(width, height), dpi=80)
    # Fixed margins in inches: matplotlib's own layouts draw everything twice.
    figure.subplots_adjust(0.85 / width, 0.5 / height, 1 - 0.7 / width, 1 - 0.95 / height, wspace=0.42, hspace=0.36)
    figure.suptitle("\n".join(map(literal, lines(heading, 110))), fontsize=10)
    for place, plot in enumerate(plots, 1):
        axes = figure.add_subplot(rows, COLUMNS, place)
        axes.set_title(literal(plot["label"]), fontsize=9, loc="left", fontweight="bold")
        if plot.get("kind") == "images":
            _draw_images(axes, plot, frame["ranks"], rank)
            continue
        _draw(axes, plot, at_rank(plot, frame["ranks"], rank))
        if plot["rank_axis"]:
            axes.axvline(rank, color="black", linewidth=1)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def literal(text: str) -> str:
    """Text that matplotlib shows as it is: between dollars it would be mathematics."""
    return text.replace("$", r"\$")


def _draw_images(axes, plot: dict, ranks, rank: int) -> None:
    """The plot's pictures side by side, those by rank at the table rank nearest to this one."""
    axes.set_axis_off()
    nearest = int(np.abs(np.asarray(ranks) - rank).argmin())
    for number, image in enumerate(plot["images"]):
        share = 1 / len(plot["images"])
        part = axes.inset_axes([number * share, 0, 0.95 * share, 0.92])
        part.imshow(image["by_rank"][nearest] if "by_rank" in image else image["values"], interpolation="nearest")
        part.set_title(image["label"], fontsize=8)
        part.set_axis_off()


def _draw_map(axes, heat: dict, chosen: dict) -> None:
    """Color for every row of `y`, the first one on top, and a mark at what is chosen."""
    image = axes.imshow(heat["z"], aspect="auto", cmap="Blues", vmin=heat.get("zmin"), vmax=heat.get("zmax"))
    axes.figure.colorbar(image, ax=axes)
    x, y = (heat[axis].index(chosen[axis][0]) for axis in ("x", "y"))
    axes.plot(x, y, "s", color=chosen["marker"]["color"], markersize=5, markeredgecolor="white")
    places = np.unique(np.linspace(0, len(heat["x"]) - 1, min(len(heat["x"]), 6)).astype(int))
    axes.set_xticks(places, [literal(heat["x"][place]) for place in places], fontsize=6, rotation=20)
    axes.set_ylabel("head")


def _draw(axes, plot: dict, data: list[dict]) -> None:
    if data[0]["type"] == "heatmap":
        _draw_map(axes, *data)
        return
    right = axes.twinx() if "yaxis2" in plot["layout"] else None
    for trace in data:
        if trace.get("visible", True) is not True or not len(trace["x"]):
            continue
        on = right if trace.get("yaxis") == "y2" else axes
        label = literal(trace["name"]) if trace.get("showlegend", True) else None
        marker = trace["marker"]
        if trace["mode"] == "markers":
            area = 200 * marker["size"] / max(float(marker["size"].max()), 1e-12)
            hollow = marker["symbol"].endswith("-open")
            on.scatter(
                trace["x"], trace["y"], s=area, label=label, alpha=marker["opacity"], linewidths=0.7,
                edgecolors=marker["color"] if hollow else "none", facecolors="none" if hollow else marker["color"],
            )  # fmt: skip
            continue
        line = trace["line"]
        style = {"color": line["color"], "linestyle": DASHES[line["dash"]], "label": label, "linewidth": 1.4}
        if trace["mode"] == "lines+markers":
            style |= {"marker": MARKERS[marker["symbol"]], "markersize": 4, "markevery": max(1, len(trace["x"]) // 8)}
        on.plot(trace["x"], trace["y"], **style)
    layout = plot["layout"]
    axes.set(xlabel=layout["xaxis"]["title"]["text"], ylabel=layout["yaxis"]["title"]["text"])
    edges = layout["yaxis"].get("range")
    if layout["yaxis"].get("type") == "log":
        axes.set_yscale("log")
        edges = [10**edge for edge in edges]
    if edges:
        axes.set_ylim(*edges)
    axes.set_xlim(*layout["xaxis"]["range"])
    if right is not None:
        right.set(ylabel=layout["yaxis2"]["title"]["text"], ylim=layout["yaxis2"]["range"])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, loc="best")
