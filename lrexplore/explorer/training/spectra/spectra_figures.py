"""Plots of recorded spectra: every layer over time as a heat map, one layer's singular values at a moment."""

from collections.abc import Mapping, Sequence

import numpy as np

from lrexplore.explorer.training.compute import View
from lrexplore.explorer.training.figures import LINEAR, LOG, Quantity, heat_plot
from lrexplore.explorer.training.groups import Group
from lrexplore.explorer.training.listed import Listed
from lrexplore.explorer.training.spectra.spectra_moments import Moments
from lrexplore.records.spectra import CUTS

_CUT = "would lose by cutting it there and then to {percent:g} % of its smaller side"
SPECTRA_QUANTITIES = {
    quantity.label: quantity
    for quantity in (
        Quantity("spectra", "effective_rank", "effective rank", "",
                 "exp of the entropy of the shares of the singular values: as many alike ones would have it"),
        Quantity("spectra", "stable_rank", "stable rank", "",
                 "|W|² over the square of the largest singular value: as many like the first would have that norm"),
        *(Quantity("spectra", f"function_error_{scale:g}", f"function error cut to {100 * scale:g} %", "",
                   f"Share of its output's energy, after what follows, that it {_CUT.format(percent=100 * scale)}")
          for scale in CUTS),
        *(Quantity("spectra", f"frobenius_error_{scale:g}", f"Frobenius error cut to {100 * scale:g} %", "",
                   f"Share of |W|² that the layer {_CUT.format(percent=100 * scale)}")
          for scale in CUTS),
    )
}  # fmt: skip


def spectra_heat(label: str, run: Listed, moments: Moments, x: np.ndarray, view: View) -> dict:
    """A quantity of every layer of one run, factorized or not, over the moments at which it was recorded."""
    quantity = SPECTRA_QUANTITIES[label]
    return heat_plot(quantity, run.name, x, moments.names, moments.table(quantity.column).T, view, which="layer")


def spectrum_plot(
    layer: str, step: int, selected: str, followed: Mapping[str, Moments], groups: Sequence[Group], *, log_y: bool
) -> dict:
    """The singular values of a layer in the selected run at a step, and in the compared ones at their nearest.

    Faint: the selected run's first moment. Dots are the cuts whose errors were recorded.
    """
    own = followed[selected]
    moment = own.nearest(step)
    styles = {run.name: group for group in groups for run in group.runs}
    traces = [_line(*own.spectrum(0, layer), f"{selected}, step {own.steps[0]:,}", None, faint=True)]
    for name, moments in followed.items():
        if name == selected or not len(moments) or layer not in moments.names:
            continue
        at = moments.nearest(step)
        traces.append(_line(*moments.spectrum(at, layer), name, styles.get(name)))
    traces.append(_line(*own.spectrum(moment, layer), selected, styles.get(selected), width=3))
    traces.append(_cuts(own, moment, layer))
    return {
        "id": "spectrum",
        "label": f"Spectrum of {layer}",
        "caption": f"Singular values of {layer} in {selected} at step {own.steps[moment]:,}, in other runs at their "
        "nearest recorded step. Faint: before the first step. Dots: ranks at which cutting it was judged.",
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": "rank"}, **LINEAR},
            "yaxis": {"title": {"text": "singular value"}, "automargin": True, **(LOG if log_y else LINEAR)},
            "annotations": [],
            "showlegend": False,
        },
        "rank_axis": False,
        "by_rank": [],
    }  # fmt: skip


def _line(ranks, values, name: str, group: Group | None, *, width: int = 2, faint: bool = False) -> dict:
    color, dash = ("#888888", "solid") if group is None else (group.color, group.dash)
    return {
        "type": "scatter", "mode": "lines", "name": name, "showlegend": False, "opacity": 0.4 if faint else 1.0,
        "x": np.asarray(ranks, dtype=np.float32), "y": np.asarray(values, dtype=np.float32),
        "line": {"color": color, "dash": dash, "width": width},
        "hovertemplate": f"{name}<br>rank %{{x:,}}<br>singular value %{{y:.4~g}}<extra></extra>",
    }  # fmt: skip


def _cuts(moments: Moments, moment: int, layer: str) -> dict:
    ranks, values = moments.spectrum(moment, layer)
    errors = moments.errors(moment, layer)
    at = np.array([max(1, int(scale * moments.full_rank(moment, layer) + 0.5)) for scale in CUTS])
    height = np.interp(at, ranks, values, right=np.nan)  # a factorized layer of lower rank has no value there
    return {
        "type": "scatter", "mode": "markers", "name": "cuts", "showlegend": False,
        "x": np.asarray(at, dtype=np.float32), "y": height.astype(np.float32),
        "customdata": np.array([[scale, *errors[scale]] for scale in CUTS], dtype=np.float32),
        "marker": {"color": "#888888", "symbol": "circle-open", "size": 8},
        "hovertemplate": "cut at rank %{x}<br>function error %{customdata[1]:.3~g}<br>"
        "Frobenius error %{customdata[2]:.3~g}<extra></extra>",
    }  # fmt: skip
