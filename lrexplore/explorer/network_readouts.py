"""The Network tab's numbers with their units and what they were measured on, as the panel takes them."""

from lrexplore.explorer.judge import Verdict
from lrexplore.explorer.samples import Samples
from lrexplore.ranks import RankPlan


def blank_readouts() -> list[dict]:
    """All readouts, none of them known yet."""
    return [
        {"id": "error", "label": "predicted error", "format": "3g", "value": None},
        {"id": "parameters", "label": "parameters", "format": "3g", "value": None},
        {"id": "flops", "label": "multiply-adds", "format": "3g", "value": None, "missing": "unknown"},
        {"id": "latency", "label": "latency", "format": "3g", "value": None, "missing": "–"},
        {"id": "agreement", "label": "top-1 agreement", "format": "pct", "value": None},
        {"id": "divergence", "label": "KL divergence", "format": "3g", "value": None, "unit": "nats"},
    ]


def cost_readouts(
    plan: RankPlan, num_layers: int, num_probes: int, timed: float | None, device: str
) -> dict[str, dict]:
    """What a plan is predicted to lose and what it costs; `num_probes` inputs measured its sensitivities, if any did.

    `timed` is the measured latency after / before, on `device`.
    """
    gap = "" if plan.gap is None else " · proven the least" if plan.gap == 0 else f" · at most {plan.gap:.1%} above"
    weights = f", each × its sensitivity on {num_probes} inputs" if num_probes else ""
    flops = plan.flops
    return {
        "error": {"value": plan.error, "note": f"sum over {num_layers} layers{weights} · {plan.inputs}{gap}"},
        "parameters": {"value": plan.parameter_ratio, "note": f"× {plan.parameters[0] / 1e6:.3g} M"},
        "flops": {"value": plan.flop_ratio, "note": f"× {flops[0] / 1e9:.3g} G an input" if flops else ""},
        "latency": {
            "value": timed,
            "note": f"after / before, measured in turns on {device}" if timed else "not measured yet",
        },
    }


def agreement_readouts(verdict: Verdict | None, samples: Samples | None) -> dict[str, dict]:
    """How far both networks agree on the samples, once the original was asked about them."""
    where = f"on {samples.num_judged} inputs: {samples.source}" if samples else ""
    return {
        "agreement": {"value": verdict and verdict.agreement, "missing": "…", "note": f"same first class {where}"},
        "divergence": {"value": verdict and verdict.divergence, "missing": "…", "note": "of its probabilities"},
    }


def missing_agreement(reason: str) -> dict[str, dict]:
    """Why there is no agreement."""
    missing = {"value": None, "missing": "no samples", "note": reason}
    return {"agreement": missing, "divergence": {"value": None, "missing": "no samples", "note": ""}}
