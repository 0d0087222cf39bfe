"""What is on screen as objects that outlive it: a table and a plain figure."""

from lrexplore.explorer.layer.compute import Study
from lrexplore.explorer.layer.figures import at_rank
from lrexplore.explorer.layer.frame import known_curves, time_ratios
from lrexplore.explorer.layer.times import LayerTime
from lrexplore.explorer.subject import Choice, Subject

COLUMNS = ("initializer", "rank", "function_error", "frobenius_error", "parameter_ratio", "flop_ratio", "time_ratio")


def curve_table(subject: Subject, study: Study, choice: Choice, time: LayerTime | None = None):
    """DataFrame of all curves known so far, one row an initializer and rank; `inputs` are the function error's."""
    import pandas as pd

    per_rank, flops_per_rank = subject.costs(choice.layer, choice.scheme)
    times, parts = time_ratios(study, time), []
    for name, curve in known_curves(study).items():
        part = pd.DataFrame({"rank": curve.ranks, "function_error": curve.function_error})
        part["frobenius_error"] = curve.frobenius_error
        part["parameter_ratio"] = per_rank * part["rank"]
        part["flop_ratio"] = float("nan") if flops_per_rank is None else flops_per_rank * part["rank"]
        part["time_ratio"] = times[curve.ranks - 1]
        part.insert(0, "initializer", name)
        parts.append(part)
    if not parts:
        parts.append(pd.DataFrame({name: [] for name in COLUMNS}))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "scheme", choice.scheme)
    table.insert(0, "layer", choice.layer)
    table["inputs"] = study.inputs
    table.attrs = {"inputs": study.inputs, "follows": subject.follows(choice)}
    return table


def plotly_figure(frame: dict, rank: int):
    """A plotly Figure of a frame's plots at a rank, side by side."""
    from plotly.subplots import make_subplots

    plots = [plot for plot in frame["plots"] if plot.get("kind") != "images"]
    two_axes = ["yaxis2" in plot["layout"] for plot in plots]
    specs = [[{"secondary_y": two} for two in two_axes]]
    figure = make_subplots(rows=1, cols=len(plots), specs=specs, subplot_titles=[plot["label"] for plot in plots])
    for column, (plot, two) in enumerate(zip(plots, two_axes, strict=True), 1):
        for trace in at_rank(plot, frame["ranks"], rank):
            second = trace.pop("yaxis", "y") == "y2"
            figure.add_trace(trace, row=1, col=column, **({"secondary_y": second} if two else {}))
        figure.update_xaxes(plot["layout"]["xaxis"], row=1, col=column)
        first = {"secondary_y": False} if two else {}
        figure.update_yaxes(plot["layout"]["yaxis"], row=1, col=column, **first)
        if two:
            edges = plot["layout"]["yaxis2"]["range"]
            figure.update_yaxes(range=edges, row=1, col=column, secondary_y=True)
        if plot["rank_axis"]:
            figure.add_vline(rank, row=1, col=column)
    return figure.update_layout(title=f"{frame['title']} · rank {rank}", width=480 * len(plots), height=420)
