"""The Network tab's numbers with their units and what they were measured on, as the panel takes them."""

import numpy as np

from lrexplore.explorer.network.figures import LEAST_ERROR
from lrexplore.explorer.network.judge import Verdict
from lrexplore.ranks import RankPlan

FEW_GROUPS = 10


def blank_readouts() -> list[dict]:
    """All readouts, none of them known yet."""
    return [
        {"id": "error", "label": "predicted error", "format": "error", "value": None},
        {"id": "parameters", "label": "parameters", "format": "3g", "value": None},
        {"id": "flops", "label": "multiply-adds", "format": "3g", "value": None, "missing": "unknown"},
        {"id": "latency", "label": "latency", "format": "3g", "value": None, "missing": "–"},
        {"id": "agreement", "label": "top-1 agreement", "format": "pct", "value": None},
        {"id": "divergence", "label": "KL divergence", "format": "3g", "value": None, "unit": "nats"},
    ]


def cost_readouts(
    plan: RankPlan, inputs: str, num_layers: int, probed: str, timed: float | None, device: str
) -> dict[str, dict]:
    """What a plan is predicted to lose on `inputs`, and what it costs.

    `probed` says what its sensitivities were measured on, if they were; `timed` is the measured latency after / before,
    on `device`.
    """
    gap = "" if plan.gap is None else f" · at most {plan.gap:.1%} above the least predicted error"
    if plan.gap == 0:
        gap = " · the least predicted error, proved; what the network says is measured beside it"
    weights = f", each × its sensitivity on {probed}" if probed else ""
    flops = plan.flops
    return {
        "error": {"value": plan.error, "note": f"sum over {num_layers} layers{weights} · {inputs}{gap}"},
        "parameters": {"value": plan.parameter_ratio, "note": f"× {plan.parameters[0] / 1e6:.3g} M"},
        "flops": {"value": plan.flop_ratio, "note": f"× {flops[0] / 1e9:.3g} G an input" if flops else ""},
        "latency": {
            "value": timed,
            "note": f"after / before, measured in turns on {device}" if timed else "not measured yet",
        },
    }


def agreement_readouts(
    verdict: Verdict | None, num: int, source: str, predicted: float | None = None
) -> dict[str, dict]:
    """How far both networks agree on `num` samples, or on as many of them as were asked so far; `predicted` is what the
    sensitivities promised of the divergence.
    """
    if verdict is None:
        where = f" on {num} inputs: {source}" if num else ""
        return {
            "agreement": {"value": None, "missing": "…", "note": f"same first class{where}"},
            "divergence": {"value": None, "missing": "…", "note": "of its probabilities"},
        }
    seen = f"{num}" if verdict.num_inputs == num else f"{verdict.num_inputs} of {num}"
    return {
        "agreement": {
            "value": verdict.agreement,
            "note": f"same first class on {seen} inputs{left_out_text(verdict)}: {source} · {interval_text(verdict)}",
        },
        "divergence": {
            "value": verdict.divergence,
            "note": f"of its probabilities, mean of {seen} inputs{left_out_text(verdict)}"
            + ("" if predicted is None else f" · {predicted:.3g} was predicted"),
        },
    }


def measured_text(predicted: np.ndarray, measured: np.ndarray, num_inputs: int) -> str:
    """How far the predicted divergences of some plans were off what was measured of them.

    Plans of which both are below 1e-3 tell nothing of that; of others, less than it counts as it.
    """
    if not len(measured):
        return "None was measured yet."
    head = f"{len(measured)} plan{' was' if len(measured) == 1 else 's were'} measured, on {num_inputs} inputs"
    tells = np.maximum(predicted, measured) >= LEAST_ERROR
    if not tells.any():
        return f"{head}: below {LEAST_ERROR:g} nats, as predicted."
    logs = np.log(np.maximum(measured[tells], LEAST_ERROR) / np.maximum(predicted[tells], LEAST_ERROR))
    times = f"{np.exp(logs.mean()):.2g} × what was predicted"
    if len(logs) == 1:
        return f"{head}: {times}."
    off = f"off by a factor of {np.exp(np.abs(logs).mean()):.2g} a plan, {np.exp(np.abs(logs).max()):.2g} at most"
    return f"{head}: {times} in the geometric mean, {off}."


def left_out_text(verdict: Verdict) -> str:
    """How many inputs do not judge, and why."""
    num = verdict.num_inputs - verdict.num_counted
    return f", {num} of them left out (no content: hardly any contrast, or the original is unsure)" if num else ""


def interval_text(verdict: Verdict) -> str:
    """What the agreement could be on other inputs like these."""
    low, high = verdict.interval
    if verdict.num_groups < 2:
        return "1 independent input: too few to say how sure that is"
    between = f"95 % interval {low:.1%} to {high:.1%}"
    if verdict.num_groups == verdict.num_counted:
        return f"{between} (Wilson, as if the inputs were independent)"
    few = ", too few for more than a first look" if verdict.num_groups < FEW_GROUPS else ""
    return f"{between} ({verdict.num_groups} independent inputs{few})"


def missing_agreement(reason: str) -> dict[str, dict]:
    """Why there is no agreement."""
    missing = {"value": None, "missing": "no samples", "note": reason}
    return {"agreement": missing, "divergence": {"value": None, "missing": "no samples", "note": ""}}
