"""The plots of a board, or intervals of differences, as plain plotly Figures for a notebook."""

from collections.abc import Mapping, Sequence

from lrexplore.records.pairs import counted
from lrexplore.theory.offline import literal, without_sharing
from lrexplore.theory.styles import REFERENCE

COLUMNS = 3


def board_figure(frame: Mapping, plots: Sequence[str] = ()):
    """A plotly Figure of a board's plots side by side, three in a row, with one legend; `plots` picks some by id.

    Raises ValueError for an id that the board does not have.
    """
    from plotly.subplots import make_subplots

    by_id = {plot["id"]: plot for plot in frame["plots"]}
    wanted = list(plots) or list(by_id)
    if missing := [name for name in wanted if name not in by_id]:
        shown = ", ".join(by_id) or "none"
        raise ValueError(f"`plots` must name plots on screen, got {missing[0]!r}. Choose from: {shown}.")
    if not wanted:
        raise ValueError("`frame` must have a plot, got none. Compare some runs first.")
    columns = min(COLUMNS, len(wanted))
    rows = -(-len(wanted) // columns)
    figure = make_subplots(rows, columns, subplot_titles=[literal(by_id[name]["label"]) for name in wanted])
    named: set[str] = set()
    for number, name in enumerate(wanted):
        place = {"row": 1 + number // columns, "col": 1 + number % columns}
        for trace in by_id[name]["data"]:
            figure.add_trace(_inked(trace) | _once(trace, named), **place)
        layout = by_id[name]["layout"]
        figure.update_xaxes(layout["xaxis"], **place)
        figure.update_yaxes(layout["yaxis"], **place)
    legend = {"orientation": "h", "y": -0.18 / rows, "yanchor": "top"}
    size = {"height": 106 + 330 * rows, "margin": {"t": 56, "r": 10}}
    return without_sharing(figure.update_layout(template="plotly_white", legend=legend, **size))


def forest_figure(table, labels: Sequence[str], title: str, unit: str):
    """A plotly Figure of the intervals in a table of `records.pairs.intervals`, one line a row, 0 drawn through.

    `labels` names the columns that tell the rows. Filled markers: the interval leaves 0 out.
    """
    import plotly.graph_objects as go

    names = [" · ".join(str(row[label]) for label in labels) for _, row in table.iterrows()]
    names = [f"{name} ({counted(row)})" for name, (_, row) in zip(names, table.iterrows(), strict=True)]
    reach = {"array": table["high"] - table["mean"], "arrayminus": table["mean"] - table["low"], "symmetric": False}
    symbols = ["circle" if separated else "circle-open" for separated in table["separated"]]
    figure = go.Figure(
        go.Scatter(
            x=table["mean"], y=names, error_x={**reach, "color": REFERENCE[0], "thickness": 1.5}, mode="markers",
            marker={"color": REFERENCE[0], "symbol": symbols, "size": 9},
            customdata=table[["low", "high"]], hovertemplate="%{y}<br>%{x:+.2f}, from %{customdata[0]:+.2f} to "
            "%{customdata[1]:+.2f}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_vline(0, line_dash="dot", line_color="#888888")
    figure.update_xaxes(title=unit, zeroline=False, showline=True, linecolor="#888888", ticks="outside")
    figure.update_yaxes(autorange="reversed", automargin=True)
    size = {"height": 130 + 26 * len(names), "margin": {"t": 50, "b": 50, "r": 15}}
    return without_sharing(figure.update_layout(template="plotly_white", title=title, **size))


def _once(trace: Mapping, named: set[str]) -> dict:
    """Whether a trace stands in the figure's legend: the first line of each name."""
    first = trace.get("showlegend", True) and trace["name"] not in named
    if first:
        named.add(trace["name"])
    return {"showlegend": first}


def _inked(trace: Mapping) -> dict:
    """The trace in plain colors: plotly does not know that of the page's text."""
    if trace.get("line", {}).get("color") != "currentColor":
        return dict(trace)
    marker = {"marker": {**trace["marker"], "color": REFERENCE[0]}} if "marker" in trace else {}
    return {**trace, "line": {**trace["line"], "color": REFERENCE[0]}, **marker}
