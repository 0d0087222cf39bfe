"""The frame of one choice: readouts at every rank, plots and marks, as the panel takes it; numpy arrays inside."""

import numpy as np

from lrexplore.explorer.layer.compute import Curve, Study
from lrexplore.explorer.layer.figures import (
    error_plot,
    error_updates,
    filter_plot,
    floor_update,
    gain_layout,
    gain_plot,
    gain_updates,
    neuron_plot,
    spectrum_plot,
    time_plot,
    time_updates,
)
from lrexplore.explorer.layer.forms import FormCurve, form_plot, form_updates
from lrexplore.explorer.layer.times import LayerTime
from lrexplore.explorer.layer.words import follows, inputs_in_full, title
from lrexplore.explorer.panel.arrays import pack
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.linalg.tensors import MATRIX

CEILING = "Without batch norm the ceiling for ReLU is 1/π², 10.1 % of the output energy."
LOW_RHO = "Low ρ is where function wins."
ERRORS = ("function_error", "frobenius_error", "above_floor", "saved")


def known_curves(study: Study) -> dict[str, Curve]:
    """The curves that can be drawn now: nested initializers whole, the others as far as they are."""
    curves = {name: study.curve(name) for name in study.initializers}
    return {name: curve for name, curve in curves.items() if curve is not None}


def key_of(choice: Choice, initializer: str) -> str:
    """What tells one frame from another."""
    inputs = (choice.inputs, choice.lacking, str(choice.edition))
    parts = [choice.layer, choice.scheme, choice.activation, str(choice.batch_norm), *inputs, choice.form, initializer]
    return "|".join(parts)


def build_frame(
    subject: Subject, study: Study, choice: Choice, initializer: str, time: LayerTime | None = None,
    form: FormCurve | None = None,
) -> dict:  # fmt: skip
    """The whole frame for the panel. What is not known yet of the chosen initializer, `time` or `form`, is NaN."""
    curves = known_curves(study)
    names, inputs = study.initializers, study.inputs
    drawn = (*curves, *study.compared, initializer)
    layer = subject.layers[choice.layer]
    floor = study.floor.points() if study.floor else None
    ceiling, low_rho = (CEILING, LOW_RHO) if study.floor else ("", "")
    plots = [
        error_plot(curves, names, drawn, study.max_rank, inputs, floor),
        gain_plot(curves, names, drawn, study.max_rank, inputs, ceiling),
        spectrum_plot(
            study.singular_values, study.energy, study.random_values, study.is_random_draw, study.stable_rank
        ),
        neuron_plot(
            study.norms, study.neurons, neuron_tables(study, initializer), len(study.problem.norms), inputs, low_rho
        ),
    ]
    if choice.form != MATRIX:
        costs = subject.costs(choice.layer, choice.scheme)
        plots.insert(1, form_plot(choice, initializer, curves.get(initializer), costs, inputs, form))
    if layer.calls is not None:
        plots.append(time_plot(time, subject.costs(choice.layer, choice.scheme)[1], study.max_rank))
    images = study.images(initializer)
    if images is not None:
        plots.append(filter_plot(*images, initializer))
    break_even = layer.break_even_rank(choice.scheme)
    return {
        "key": key_of(choice, initializer),
        "max_rank": study.max_rank,
        "ranks": study.table_ranks.astype(np.int32),
        "title": f"{title(subject, choice)} · {inputs_in_full(study.inputs_in_full, choice)}",
        "marks": [{"rank": break_even, "label": "break-even"}] if break_even else [],
        "readouts": readouts(subject, study, choice, initializer, curves, time),
        "plots": plots,
    }


def neuron_tables(study: Study, initializer: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """rho and loss of spectral, and of the chosen initializer where it is another one; rho NaN while not known."""
    shape = len(study.table_ranks), len(study.neurons)
    unknown = np.full(shape, np.nan, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    return {name: study.neuron_table(name) or unknown for name in dict.fromkeys(("spectral", initializer))}


def readouts(
    subject: Subject,
    study: Study,
    choice: Choice,
    initializer: str,
    curves: dict[str, Curve],
    time: LayerTime | None,
) -> list[dict]:
    """The numbers beside the slider, each with a value for every rank."""
    ranks = np.arange(1, study.max_rank + 1)
    then, inputs = follows(subject, choice), study.inputs
    errors, near = error_readouts(study, initializer, curves), near_readouts(study, initializer, curves)
    num_ranks = len(study.curve_ranks if initializer in study.nested else study.table_ranks)
    about = f"; ≈ between the {num_ranks} ranks computed" if num_ranks < study.max_rank else ""
    per_rank, flops_per_rank = subject.costs(choice.layer, choice.scheme)
    layer = subject.layers[choice.layer]
    weights, whose = int(np.prod(layer.weight_shape)), f"{initializer}; "
    listed = [
        ("function_error", "function error", "error", errors["function_error"], f"{whose}{inputs}, {then}{about}"),
        ("frobenius_error", "Frobenius error", "error", errors["frobenius_error"], f"{whose}the matrix{about}"),
        ("saved", "against spectral", "pct", errors["saved"], f"of the output energy; {inputs}, below 0 is better"),
        ("parameters", "parameters", "3g", per_rank * ranks, f"× the layer's {weights:,} weights; below 1 saves"),
    ]
    if flops_per_rank is not None:
        size = layer.flops / 1e6
        listed.append(
            ("flops", "multiply-adds", "3g", flops_per_rank * ranks, f"× the layer's {size:.3g} M; {layer.measured}")
        )
    if layer.calls is not None:
        note = "× that of the layer, measured on this machine; below 1 is faster"
        listed.append(("time", "time", "3g", time_ratios(study, time), note))
        near["time"] = near_time(study, time)
    listed.append(("energy", "energy kept", "pct", study.energy, "share of |W|² in the top singular values"))
    if study.floor:
        note = f"{inputs}; at most this above the best"
        listed.insert(2, ("above_floor", "above the floor", "pct", errors["above_floor"], note))
    return [
        {"id": id, "label": label, "format": format, "values": np.asarray(values, dtype=np.float32), "note": note}
        | ({"near": near[id]} if id in near else {})
        for id, label, format, values, note in listed
    ]


def near_readouts(study: Study, initializer: str, curves: dict[str, Curve]) -> dict[str, np.ndarray]:
    """Readout -> 1 at every rank where its value is read off a line between two ranks that are known, (max_rank,)."""
    ranks = np.arange(1, study.max_rank + 1)
    near = [~np.isin(ranks, curves[name].ranks) for name in (initializer, "spectral") if name in curves]
    own = near[0] if initializer in curves else np.zeros(len(ranks), dtype=bool)
    both = np.logical_or.reduce([own, *near])
    is_near = {name: (both if name == "saved" else own).astype(np.uint8) for name in ERRORS}
    return {name: is_near[name] for name in _error_names(study)}


def near_time(study: Study, time: LayerTime | None) -> np.ndarray:
    """1 at every rank where the time is read off between two ranks that were measured, (max_rank,)."""
    measured = () if time is None else time.ranks
    return (~np.isin(np.arange(1, study.max_rank + 1), measured)).astype(np.uint8)


def error_readouts(study: Study, initializer: str, curves: dict[str, Curve]) -> dict[str, np.ndarray]:
    """Both errors of an initializer and its loss less that of spectral, (max_rank,); NaN where they are not known.

    Between ranks of a complete curve they are interpolated: `near_readouts` says where.
    """
    ranks = np.arange(1, study.max_rank + 1)
    unknown = np.full(len(ranks), np.nan)
    curve, spectral = curves.get(initializer), curves.get("spectral")
    if curve is None:
        return dict.fromkeys(_error_names(study), unknown)
    function = _at_every_rank(curve, curve.function_error, ranks)
    reference = unknown if spectral is None else _at_every_rank(spectral, spectral.function_error, ranks)
    errors = {
        "function_error": function,
        "frobenius_error": _at_every_rank(curve, curve.frobenius_error, ranks),
        "saved": function - reference,
    }
    if study.floor:
        bound = np.where(study.floor.is_exact(), study.floor.at_every_rank(), np.nan)
        above = np.maximum(function / np.maximum(bound, 1e-12) - 1, 0)
        errors["above_floor"] = np.where(bound > 1e-6, above, np.nan)
    return errors


def _at_every_rank(curve: Curve, values: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Values of a curve at ranks, NaN in its gaps and outside: far from what is known a straight line is no value."""
    at_ranks = np.interp(ranks, curve.ranks, values, left=np.nan, right=np.nan)
    for gap in curve.gaps:
        at_ranks[(ranks > curve.ranks[gap - 1]) & (ranks < curve.ranks[gap])] = np.nan
    return at_ranks


def _error_names(study: Study) -> list[str]:
    return [name for name in ERRORS if study.floor or name != "above_floor"]


def build_patch(study: Study, choice: Choice, drawn: str, changed: str, *, tables: bool = True) -> dict:
    """What long work on the initializer `changed` adds to the frame drawn for the initializer `drawn`.

    Without `tables` the neurons at every rank are left out: they are nine tenths of its bytes.
    """
    curves, names = known_curves(study), study.initializers
    patch = {
        "key": key_of(choice, drawn),
        "plots": {
            "error": {"data": error_updates(curves, names, changed)},
            "gain": {"data": gain_updates(curves, names, changed), "layout": gain_layout(curves, names)},
        },
    }
    if changed == "spectral" != drawn:
        patch["readouts"] = {"saved": _error_changes(study, drawn, curves)["saved"]}
    if changed == drawn:
        patch["readouts"] = _error_changes(study, drawn, curves)
    shown = list(dict.fromkeys(("spectral", drawn)))
    if changed in shown and tables:
        place = 2 * shown.index(changed)
        rho, loss = study.neuron_table(changed)
        patch["by_rank"] = {"neurons": {str(place): pack(rho, "uint16"), str(place + 1): pack(loss, "uint16")}}
    return patch


def _error_changes(study: Study, initializer: str, curves: dict[str, Curve]) -> dict[str, dict[str, np.ndarray]]:
    errors, near = error_readouts(study, initializer, curves), near_readouts(study, initializer, curves)
    return {name: {"values": values.astype(np.float32), "near": near[name]} for name, values in errors.items()}


def build_floor_patch(study: Study, choice: Choice, drawn: str) -> dict:
    """What a floor that grew adds to the frame drawn for the initializer `drawn`."""
    errors = _error_changes(study, drawn, known_curves(study))
    return {
        "key": key_of(choice, drawn),
        "plots": {"error": {"data": floor_update(study.initializers, *study.floor.points())}},
        "readouts": {"above_floor": errors["above_floor"]},
    }


def time_ratios(study: Study, time: LayerTime | None) -> np.ndarray:
    """Measured time over that of the layer as it is, (max_rank,); NaN while it is not known."""
    return np.full(study.max_rank, np.nan) if time is None else time.ratios(study.max_rank)


def build_time_patch(subject: Subject, study: Study, choice: Choice, drawn: str, time: LayerTime) -> dict:
    """What a measured time adds to the frame drawn for the initializer `drawn`."""
    return {
        "key": key_of(choice, drawn),
        "plots": {"time": time_updates(time, subject.costs(choice.layer, choice.scheme)[1], study.max_rank)},
        "readouts": {"time": {"values": time_ratios(study, time).astype(np.float32), "near": near_time(study, time)}},
    }


def build_form_patch(subject: Subject, study: Study, choice: Choice, drawn: str, form: FormCurve) -> dict:
    """What another form's curve adds to the frame drawn for the initializer `drawn`."""
    updates = form_updates(study.curve(drawn), subject.costs(choice.layer, choice.scheme), form)
    return {"key": key_of(choice, drawn), "plots": {"form": {"data": updates}}}


def compact(frame: dict) -> dict:
    """The frame with its by-rank tables of neurons at two bytes a number, as it goes to the browser."""
    plots = []
    for plot in frame["plots"]:
        tables = [{**entry, "values": pack(entry["values"], "uint16")} for entry in plot.get("by_rank", ())]
        plots.append({**plot, "by_rank": tables} if tables else plot)
    return {**frame, "plots": plots}
