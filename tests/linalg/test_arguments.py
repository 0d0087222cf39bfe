"""Arguments of another kind are called by their name, with the way out, wherever they are given."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.bench.faults.verdict import is_ours
from lrexplore.records import Reader

WEIGHT = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
FACTORS = lr.Factors(torch.ones(6, 1), torch.ones(1, 4))
NET = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
TABLE = pd.DataFrame(
    [("a", "function", 0, 0.81), ("b", "spectral", 0, 0.8)], columns=["run", "initializer", "seed", "test_top1"]
)
CASES = {
    "left": [lambda: lr.Factors("a", torch.ones(2, 2)),
             lambda: lr.Factors(torch.ones(2, 2), torch.ones(2, 2).double())],
    "weight": [lambda: lr.spectrum(nn.parameter.UninitializedParameter()), lambda: lr.initialize(
        WEIGHT * 1e30, 2, activation="gelu")],
    "scheme": [lambda: lr.spectrum(WEIGHT, scheme=np.ones(3))],
    "batch_norm": [
        lambda: lr.initialize(WEIGHT, 2, batch_norm=()), lambda: lr.error_curve(WEIGHT, batch_norm=(1, 2)),
        lambda: lr.initialize(WEIGHT, 2, batch_norm=lr.BatchNorm(torch.ones(6).to_sparse(), torch.zeros(6))),
    ],
    "ranks": [lambda: lr.error_curve(WEIGHT, ranks=3), lambda: lr.error_curve(WEIGHT, ranks=len)],
    "generator": [lambda: lr.initialize(WEIGHT, 2, generator="x"), lambda: lr.factorize(
        NET, rank_scale=0.2, generator=torch.device("cpu"))],
    "initializer": [lambda: lr.initialize(WEIGHT, 2, initializer=object)],
    "words": [lambda: lr.initialize(WEIGHT, 2, initializer="spectral", words=3)],
    "num_starts": [lambda: lr.initialize(WEIGHT, 2, num_starts=(1, 2))],
    "time_limit_s": [lambda: lr.lower_bound(WEIGHT, 2, time_limit_s="x"), lambda: lr.certificate(
        WEIGHT, FACTORS, time_limit_s=float("nan"))],
    "rho": [lambda: lr.ACTIVATIONS["relu"].dual("x"), lambda: lr.ACTIVATIONS["relu"].dual(float("nan")),
            lambda: lr.ACTIVATIONS["relu"].dual(2.0)],
    "in_features": [lambda: lr.FactorizedLinear("x", 4, 2), lambda: lr.FactorizedLinear(10**30, 4, 2)],
    "bias": [lambda: lr.FactorizedLinear(4, 4, 2, bias=torch.ones(2))],
    "kernel_size": [lambda: lr.FactorizedConv2d(4, 4, [1], 2), lambda: lr.FactorizedConv2d(4, 4, 2.5, 2)],
    "groups": [lambda: lr.FactorizedConv2d(4, 4, 3, 2, groups="x")],
    "model": [
        lambda: lr.report("x"), lambda: lr.parameter_groups(3, decay_strength=0.1, decay_norms=True),
        lambda: lr.FrobeniusDecay({}, 0.1), lambda: lr.compare(1, 2, [torch.ones(2, 8)]), lambda: lr.save(3, "x"),
        lambda: lr.choose_execution("x", torch.ones(2, 8)), lambda: lr.load("x", 3),
        lambda: lr.save(nn.LazyLinear(3), "x"), lambda: lr.save(nn.Linear(2, 2, device="meta"), "x"),
        lambda: lr.train(None),
    ],
    "strength": [lambda: lr.FrobeniusDecay(NET, torch.ones(2)), lambda: lr.FrobeniusDecay(NET, "x")],
    "decay": [lambda: lr.parameter_groups(NET, decay=np.ones(2), decay_strength=0.1, decay_norms=True)],
    "execution": [lambda: lr.set_execution(NET, {"a", "b"})],
    "example_input": [lambda: lr.choose_execution(NET, torch.ones(4, 6))],
    "latency_rounds": [lambda: lr.compare(NET, NET, [torch.ones(2, 8)], latency_rounds=torch.float32)],
    "path": [lambda: lr.load(3), lambda: lr.load("a\0"), lambda: lr.runs([]), lambda: lr.runs("x" * 5000),
             lambda: lr.save(NET, torch.ones(2)), lambda: lr.load("\ud800")],
    "paths": [lambda: lr.outcomes(3), lambda: lr.outcomes([None]), lambda: lr.outcomes(torch.tensor(2))],
    "plan": [lambda: lr.RankPlan.load(3)],
    "folder": [lambda: lr.Run(3)],
    "stream": [lambda: Reader(".").table("x"), lambda: Reader(".").columns(torch.ones(2))],
    "table": [lambda: lr.intervals({}, "initializer", "function", "spectral")],
    "choice": [lambda: lr.intervals(TABLE, [], "function", "spectral")],
    "first": [lambda: lr.intervals(TABLE, "initializer", "\ud800", "spectral"), lambda: lr.intervals(
        TABLE, "initializer", 10**30, "spectral")],
    "by": [lambda: lr.intervals(TABLE, "initializer", "function", "spectral", by=3)],
    "level": [lambda: lr.intervals(TABLE, "initializer", "function", "spectral", level="x")],
    "name": [lambda: lr.preprocess("x", np.zeros((3, 3, 3), np.uint8))],
    "images": [lambda: lr.preprocess("resnet50", 3), lambda: lr.preprocess("resnet50", ["x"])],
    "calibration": [lambda: lr.input_error(WEIGHT, FACTORS, None)],
    "correct_norms": [lambda: lr.factorize(NET, rank_scale=0.2, correct_norms=np.ones(2))],
    "architecture": [lambda: lr.save(NET, "x", architecture=np.ones(2))],
}  # fmt: skip


@pytest.mark.parametrize(("name", "call"), [(name, call) for name, calls in CASES.items() for call in calls])
def test_an_argument_of_another_kind_is_called_by_its_name(name, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=f"^`{name}`") as caught:
        call()
    assert is_ours(caught.value), str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_loader_of_no_inputs_is_refused():
    with pytest.raises(ValueError, match="`loader` must give"):
        lr.compare(NET, NET, [torch.ones(0, 8)], latency_rounds=0)
