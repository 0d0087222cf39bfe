"""What the network says before and after agrees with `lr.compare`; the search finds the budget that it promises."""

from dataclasses import replace

import pytest
import torch
from explorer.networks import small_network
from explorer.whole_network import prepared, silent
from torch import nn

import lrexplore as lr
from lrexplore.explorer.compute import Stopped
from lrexplore.explorer.judge import Judge, ask
from lrexplore.explorer.network_state import Wish


@pytest.fixture
def judge():
    """A judge of the small network, and its allocation."""
    allocation = prepared(small_network(), Wish())
    return Judge(allocation), allocation


def test_a_verdict_is_what_compare_says(judge):
    judge, allocation = judge
    wish = Wish(ratio=0.35)
    verdict = judge.verdict(wish, silent)
    network, samples = allocation.network(wish, silent), allocation.samples
    table = lr.compare(allocation.model, network, samples.judged, latency_rounds=0)["compared"]
    assert verdict.agreement == pytest.approx(table["top-1 agreement"])
    assert verdict.divergence == pytest.approx(table["KL divergence"], rel=1e-6, abs=1e-12)
    logits = torch.cat([network(batch) for batch in samples.judged])
    assert verdict.after.tolist() == logits.argmax(1).tolist()
    assert judge.known(allocation.plan(wish)) is verdict


def test_the_original_agrees_with_itself(judge):
    judge, allocation = judge
    original = judge.original(silent)
    assert (original.agreement, original.divergence) == (1, 0)
    assert len(original.before) == allocation.samples.num_judged


def test_the_search_ends_at_a_budget_that_agrees(judge):
    judge, allocation = judge
    ratio = judge.smallest(Wish(), 1.0, silent)
    assert judge.verdict(Wish(ratio=ratio), silent).agreement == 1
    assert allocation.smallest(Wish()) <= ratio <= 1


def test_a_search_can_be_stopped(judge):
    judge, _ = judge
    told = []

    def stop_later(*seen):
        told.append(seen)
        if len(told) > 5:
            raise Stopped

    with pytest.raises(Stopped):
        judge.smallest(replace(Wish(), method="uniform"), 1.0, stop_later)
    assert all(part.startswith(("budget", "asking the original")) for _, _, part in told)


def test_a_network_without_logits_is_refused(judge):
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    with pytest.raises(ValueError, match=r"`model` must answer with logits .* got \(2, 4, 5, 5\)"):
        ask(model, [torch.zeros(2, 3, 5, 5)], lambda done, total: None)
