"""What is on screen as objects that outlive it: a table and a plain figure."""

from lrexplore.explorer.layer.compute import Study
from lrexplore.explorer.layer.figures import at_rank
from lrexplore.explorer.layer.frame import known_curves, time_ratios
from lrexplore.explorer.layer.heads.head_study import BEST, HeadStudy
from lrexplore.explorer.layer.times import LayerTime
from lrexplore.explorer.layer.words import follows, inputs_in_full, lines
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.network.attention.head_layers import scheme_of
from lrexplore.theory.offline import literal, without_sharing

COLUMNS = 2
QUANTITIES = ("function_error", "frobenius_error", "parameter_ratio", "flop_ratio", "time_ratio")


def curve_table(subject: Subject, study: Study, choice: Choice, time: LayerTime | None = None):
    """DataFrame of all curves known so far, one row an initializer and rank.

    `inputs` are the function error's; `attrs` say more of them."""
    import pandas as pd

    per_rank, flops_per_rank = subject.costs(choice.layer, choice.scheme)
    if isinstance(study, HeadStudy):
        table = _head_table(subject, study, choice, per_rank, flops_per_rank)
        table.attrs = {"inputs": study.inputs_in_full, "follows": subject.layers[choice.layer].follows.text}
        return table
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
        parts.append(pd.DataFrame({name: [] for name in ("initializer", "rank", *QUANTITIES)}))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "scheme", choice.scheme)
    table.insert(0, "layer", choice.layer)
    table["inputs"] = choice.inputs
    table.attrs = {"inputs": inputs_in_full(study.inputs_in_full, choice), "follows": follows(subject, choice)}
    return table


def _head_table(subject: Subject, study: HeadStudy, choice: Choice, per_rank: float, flops_per_rank: float | None):
    """One row a way to cut the head and rank; its error, of its logits or its output, stands as the function error."""
    import pandas as pd

    parts = []
    for name, errors in study.errors.items():
        part = pd.DataFrame({"rank": range(1, study.max_rank + 1), "function_error": errors})
        part["frobenius_error"] = 1 - study.energy if name == BEST and len(study.errors) == 1 else float("nan")
        part["parameter_ratio"] = per_rank * part["rank"]
        part["flop_ratio"] = float("nan") if flops_per_rank is None else flops_per_rank * part["rank"]
        part["time_ratio"] = float("nan")
        part.insert(0, "initializer", name)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "scheme", scheme_of(subject.layers[choice.layer]))
    table.insert(0, "layer", choice.layer)
    table["inputs"] = choice.inputs
    return table


def plotly_figure(frame: dict, rank: int, heading: str):
    """A plotly Figure of a frame's plots at a rank, `COLUMNS` in a row, under a heading."""
    from plotly.subplots import make_subplots

    plots = [plot for plot in frame["plots"] if plot.get("kind") != "images"]
    rows = -(-len(plots) // COLUMNS)
    specs = [{"secondary_y": "yaxis2" in plot["layout"]} for plot in plots] + [None] * (-len(plots) % COLUMNS)
    figure = make_subplots(
        rows, COLUMNS, specs=[specs[COLUMNS * row :][:COLUMNS] for row in range(rows)],
        subplot_titles=[literal(plot["label"]) for plot in plots], horizontal_spacing=0.16, vertical_spacing=0.3 / rows,
    )  # fmt: skip
    named: set[str] = set()
    for number, plot in enumerate(plots):
        place = {"row": 1 + number // COLUMNS, "col": 1 + number % COLUMNS}
        two = "yaxis2" in plot["layout"]
        for trace in at_rank(plot, frame["ranks"], rank):
            second = trace.pop("yaxis", "y") == "y2"
            if trace["type"] == "heatmap":  # its color bar would lie beside the whole figure
                heat = {name: value for name, value in trace.items() if name != "marker"}
                figure.add_trace(heat | {"showscale": False, "showlegend": False}, **place)
                continue
            shown = trace.get("showlegend", True) and trace.get("visible", True) is True and trace["name"] not in named
            named |= {trace["name"]} if shown else set()
            figure.add_trace(trace | {"showlegend": shown}, **place, **({"secondary_y": second} if two else {}))
        figure.update_xaxes(plot["layout"]["xaxis"], **place)
        figure.update_yaxes(plot["layout"]["yaxis"], **place, **({"secondary_y": False} if two else {}))
        if two:
            axis = {name: plot["layout"]["yaxis2"][name] for name in ("range", "title", "tickformat", "showgrid")}
            figure.update_yaxes(axis, **place, secondary_y=True)
        if plot["rank_axis"]:
            figure.add_vline(rank, **place)
    title = {"text": "<br>".join(map(literal, lines(heading, 100))), "font": {"size": 14}}
    legend = {"orientation": "h", "y": -0.2 / rows, "yanchor": "top"}
    size = {"width": 980, "height": 150 + 330 * rows, "margin": {"t": 90, "r": 20, "b": 60}}
    return without_sharing(figure.update_layout(template="plotly_white", title=title, legend=legend, **size))
