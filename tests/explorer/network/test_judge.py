"""What the network says before and after agrees with `lr.compare`; the search finds the budget that it promises."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from explorer.networks import small_network
from explorer.whole_network import prepared, silent
from torch import nn

import lrexplore as lr
from lrexplore.explorer.network.compute import Allocation
from lrexplore.explorer.network.judge import Judge, ask, wilson
from lrexplore.explorer.network.state import Wish
from lrexplore.explorer.samples import Origin
from lrexplore.explorer.work.worker import Stopped


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
    table = lr.compare(allocation.model, network, list(samples.judged), latency_rounds=0)["compared"]
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
        ask(model, torch.zeros(2, 3, 5, 5))


@pytest.fixture
def long_judge():
    """A judge with 128 inputs to judge by, and its allocation."""
    inputs = torch.randn(224, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    allocation = Allocation(small_network(), Origin(loader=inputs.split(32)))
    allocation.prepare(Wish(), silent)
    return Judge(allocation), allocation


def test_more_inputs_are_asked_about_only_once_and_fewer_are_the_first_of_them(long_judge, monkeypatch):
    judge, allocation = long_judge
    wish, asked = Wish(ratio=0.35), []
    counting = lambda model, batch: asked.append(len(batch)) or ask(model, batch)  # noqa: E731
    monkeypatch.setattr("lrexplore.explorer.network.judge.ask", counting)
    few = judge.verdict(wish, silent)
    assert (few.num_inputs, asked) == (16, [8] * 4)
    judge.num_wanted = 64
    assert judge.known(allocation.plan(wish)).num_inputs == 16
    many = judge.verdict(wish, silent)
    assert (many.num_inputs, asked) == (64, [8] * 16)
    logits = [
        torch.cat([ask(net, batch) for batch in allocation.samples.judged])[:64].argmax(1)
        for net in (allocation.model, allocation.network(wish, silent))
    ]
    assert many.agreement == float((logits[0] == logits[1]).double().mean())
    judge.num_wanted = 16
    assert judge.verdict(wish, silent).after.tolist() == many.after[:16].tolist()
    assert asked == [8] * 16


def test_a_judgement_that_was_stopped_goes_on_with_the_next_batch(long_judge):
    judge, allocation = long_judge
    judge.num_wanted = 64
    judge.original(silent)

    def stop_at_the_fourth(done, total, what):
        if what == "asking the factorized" and done == 3:
            raise Stopped

    with pytest.raises(Stopped):
        judge.verdict(Wish(), stop_at_the_fourth)
    assert judge.known(allocation.plan(Wish())).num_inputs == 24
    told = []
    assert judge.verdict(Wish(), lambda *seen: told.append(seen)).num_inputs == 64
    assert [done for done, _, what in told if what == "asking the factorized"] == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("share", "num", "low", "high"),
    [(1.0, 16, 0.8064, 1.0), (0.0, 10, 0.0, 0.2775), (0.5, 10, 0.2366, 0.7634), (0.9, 100, 0.8256, 0.9448)],
)
def test_wilsons_interval_is_the_published_one(share, num, low, high):
    assert wilson(share, num) == pytest.approx((low, high), abs=1e-4)


def test_wilsons_interval_has_the_shares_that_a_score_test_would_not_reject():
    low, high = wilson(0.8, 40)
    for share in (low, high):
        assert abs(0.8 - share) / np.sqrt(share * (1 - share) / 40) == pytest.approx(1.96, abs=1e-3)
