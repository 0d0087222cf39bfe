"""What the network says before and after agrees with `lr.compare`; the search finds the budget that it promises."""

from dataclasses import replace

import pytest
import torch
from explorer.networks import small_network
from explorer.whole_network import prepared, silent
from torch import nn

import lrexplore as lr
from lrexplore.explorer.network.compute import Allocation
from lrexplore.explorer.network.judge import Judge, ask, compare_logits, has_content
from lrexplore.explorer.network.readouts import interval_text, left_out_text
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


def _answers(certain, agreeing):
    """Logits of as many inputs, and other logits of which that many agree."""
    own = torch.eye(10)[torch.arange(len(certain)) % 10].double() * torch.tensor(certain)[:, None]
    return own, torch.cat([own[:agreeing], own[agreeing:].roll(1, 1)])


@pytest.mark.parametrize(("agreeing", "low", "high"), [(16, 0.8064, 1.0), (0, 0.0, 0.1936)])
def test_the_interval_is_wilsons_where_every_input_is_independent(agreeing, low, high):
    verdict = compare_logits(*_answers([9.0] * 16, agreeing))
    assert verdict.interval == pytest.approx((low, high), abs=1e-4)
    assert (verdict.num_counted, verdict.num_groups) == (16, 16)


def test_crops_of_two_photographs_are_two_independent_inputs():
    verdict = compare_logits(*_answers([9.0] * 16, 16), groups=(0, 1) * 8)
    low, high = verdict.interval
    assert verdict.num_groups == 2 and high == 1 and low == pytest.approx(0.3424, abs=1e-4)  # Wilson's of 2 of 2
    assert "(2 independent inputs, too few for more than a first look)" in interval_text(verdict)
    one = compare_logits(*_answers([9.0] * 16, 16), groups=(0,) * 16)
    assert interval_text(one) == "1 independent input: too few to say how sure that is"


def test_plain_sky_does_not_judge():
    own, other = _answers([9.0] * 12 + [0.5] * 4, 12)  # the last four are as good as guesses, and changed
    contrast = torch.ones(16, dtype=torch.float64)
    contrast[0] = 0.01
    counted = has_content(own, contrast)
    assert counted.tolist() == [False] + [True] * 11 + [False] * 4
    verdict = compare_logits(own, other, counted)
    assert (verdict.agreement, verdict.num_counted, verdict.num_inputs) == (1.0, 11, 16)
    assert left_out_text(verdict).startswith(", 5 of them left out")
    # A network that is never sure, as a random one, is judged on all there is.
    assert has_content(_answers([0.01] * 16, 16)[0], torch.ones(16)).all()
