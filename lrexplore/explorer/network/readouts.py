"""The Network tab's numbers with their units and what they were measured on, as the panel takes them."""

from lrexplore.explorer.network.judge import Verdict
from lrexplore.ranks import RankPlan


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
    plan: RankPlan, inputs: str, num_layers: int, num_probes: int, timed: float | None, device: str
) -> dict[str, dict]:
    """What a plan is predicted to lose on `inputs`, and what it costs.

    `num_probes` inputs measured its sensitivities, if any did; `timed` is the measured latency after / before, on
    `device`.
    """
    gap = "" if plan.gap is None else " · proven the least" if plan.gap == 0 else f" · at most {plan.gap:.1%} above"
    weights = f", each × its sensitivity on {num_probes} inputs" if num_probes else ""
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


def agreement_readouts(verdict: Verdict | None, num: int, source: str) -> dict[str, dict]:
    """How far both networks agree on `num` samples, or on as many of them as were asked so far."""
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
            "note": f"same first class on {seen} inputs: {source} · {interval_text(verdict)}",
        },
        "divergence": {"value": verdict.divergence, "note": f"of its probabilities, mean of {seen} inputs"},
    }


def interval_text(verdict: Verdict) -> str:
    """What the agreement could be on other inputs like these."""
    low, high = verdict.interval
    return f"95 % interval {low:.1%} to {high:.1%} (Wilson, as if the inputs were independent)"


def missing_agreement(reason: str) -> dict[str, dict]:
    """Why there is no agreement."""
    missing = {"value": None, "missing": "no samples", "note": reason}
    return {"agreement": missing, "divergence": {"value": None, "missing": "no samples", "note": ""}}
