"""Runs whose singular values decay."""

import torch
from training.runs import numbers, same_weights, tiny

from lrexplore.records import Run
from lrexplore.training.run import run


def test_it_takes_singular_values_to_nothing_says_its_cost_and_goes_on_bit_by_bit(tmp_path):
    choices = {"rank_scale": None, "decay": "nuclear", "decay_strength": 3.0, "steps": 12, "norms_steps": 12}
    whole, parts = tiny(tmp_path, "whole", **choices), tiny(tmp_path, "parts", **choices)
    run(whole)
    left = [6]

    def stop():
        left[0] -= 1
        return left[0] < 0

    assert run(parts, should_stop=stop) == "stopped"
    run(parts)
    assert numbers(parts) == numbers(whole) and same_weights(parts, whole)
    events = Run(tmp_path / "whole").records.table("events")
    assert events["event"].str.contains("nuclear decay of unfactorized layers took").any()
    plain = tiny(tmp_path, "plain", **{**choices, "decay": "weight", "decay_strength": 0.0})
    run(plain)
    norms = [numbers(config)["layers"] for config in (whole, plain)]
    shrunk = [a["nuclear_norm"] / b["nuclear_norm"] for a, b in zip(*norms, strict=True) if a["step"] == 12]
    assert shrunk and max(shrunk) < 0.8


def test_of_factors_it_is_weight_decay(tmp_path):
    runs = [tiny(tmp_path, decay, decay=decay, steps=2) for decay in ("nuclear", "weight")]
    for config in runs:
        run(config)
    assert same_weights(*runs) and not torch.isnan(torch.tensor(numbers(runs[0])["steps"][-1]["loss"]))
