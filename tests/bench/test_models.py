import pytest
import torch
from torch import nn

from lrexplore.bench import models
from lrexplore.bench.crowd import Member, crowd
from lrexplore.cli import main


def _net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))


def _refuses():
    raise RuntimeError("there is no such network")


class Reading(nn.Module):
    """Its forward reads values, which torch's exporter does not follow."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(8, 8)

    def forward(self, x):
        return self.body(x) if x.sum() > 0 else -self.body(x)


def _member(name, make, **options):
    return Member(name=name, make=make, example=lambda: torch.ones(4, 8), **options)


def test_the_crowd_has_120_networks_and_no_name_twice():
    pytest.importorskip("timm", reason="most of them are timm's")
    pytest.importorskip("transformers", reason="some of them are transformers'")
    names = [member.name for member in crowd()]
    assert len(names) == len(set(names)) >= 120
    assert {"transformers/gpt2", "transformers/mixtral", "torchvision/maskrcnn_resnet50_fpn"} <= set(names)


def test_a_network_that_fails_is_a_row_and_does_not_end_the_run(monkeypatch, capsys):
    wrong = {"published": 1.0, "digits": 0.0}
    found = [_member("a/bad", _refuses), _member("a/good", _net), _member("a/costs", _net, **wrong),
             _member("a/reading", Reading), _member("b/other", _refuses)]  # fmt: skip
    monkeypatch.setattr(models, "crowd", lambda: found)
    assert main(["bench", "models", "--only", "^a/"]) == 1
    said = capsys.readouterr().out
    assert "4 networks, 2 failed. Full rank within 0.0001: 3" in said and "b/other" not in said
    assert "FAILED a/bad: RuntimeError: there is no such network" in said
    assert "FAILED a/costs: 2.56e-07 G multiply-adds, 1 published" in said
    assert "saved and loaded: 3; exported: 2, 1 said why not" in said
    assert "`model` must be one that torch's exporter can follow, got a Reading" in said


def test_a_row_has_what_was_measured():
    row = models.measured(_member("a/good", _net, published=2.56e-7))
    assert (row.num_layers, row.num_factorizable, row.saved, row.exported, row.failed) == (2, 2, "yes", "yes", "")
    assert row.gflop == 2 * 8 * 16 / 1e9 and row.error < 1e-6


def test_a_pattern_that_finds_nothing_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(models, "crowd", lambda: [_member("a/good", _net)])
    assert main(["bench", "models", "--only", "nothing"]) == 1
    assert "`--only` must find a network, got 'nothing'" in capsys.readouterr().err
