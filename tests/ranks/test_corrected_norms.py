"""Batch norms are corrected where that helps on groups of inputs that the correction has not seen."""

import copy

import pytest
import torch

from lrexplore.network import report
from lrexplore.network.batch_norm import correct_batch_norms
from lrexplore.network.batches import read_items
from lrexplore.ranks import factorize
from lrexplore.ranks.corrected_norms import by_group, correct_if_better

RANKS = {"0": 4, "3": 5}


def _norms(network):
    return [network[1].running_mean.clone(), network[1].running_var.clone()]


def test_a_correction_that_helps_is_taken_and_said(model, images):
    small = factorize(model, ranks=RANKS, initializer="spectral")
    small[0].left.data *= 0.3  # the batch norm behind it can make up for this
    always, before = copy.deepcopy(small), _norms(small)
    about = correct_if_better(model, small, list(read_items(images)))
    assert about.startswith("batch norms corrected") and "6 independent inputs held out" in about
    correct_batch_norms(model, always, images)
    for one, other, old in zip(_norms(small), _norms(always), before, strict=True):
        assert torch.equal(one, other) and not torch.equal(one, old)


def test_the_report_says_what_was_decided(model, images):
    auto, never = (
        factorize(model, ranks=RANKS, initializer="spectral", loader=images, correct_norms=how)
        for how in ("auto", False)
    )
    assert "on 6 independent inputs held out" in report(auto).attrs["batch norms"]
    assert report(never).attrs["batch norms"] == ""


def test_a_correction_that_harms_other_inputs_is_not_taken(model, images):
    small = factorize(model, ranks=RANKS, initializer="spectral")
    before = _norms(small)
    # What is fitted to is of another kind than what is held out: number 1 of every four groups.
    x = torch.cat(images)
    other = torch.arange(24) % 4 != 1
    x[other] = 30 * x[other].sign()
    about = correct_if_better(model, small, list(read_items([x])))
    assert about.startswith("batch norms as they were: a correction took the answer's change from")
    assert all(map(torch.equal, before, _norms(small)))


@pytest.mark.parametrize("groups", [[0] * 24, [0, 1] * 12, [place % 8 for place in range(24)]])
def test_too_few_independent_inputs_correct_nothing(model, images, groups):
    small = factorize(model, ranks=RANKS, loader=images, groups=groups, initializer="spectral")
    judged = {number for number in set(groups) if number % 4 == 1}
    assert report(small).attrs["batch norms"] == (
        f"batch norms as they were: {len(judged)} independent inputs to judge a correction by"
    )
    assert torch.equal(small[1].running_var, model[1].running_var)


def test_crops_of_one_photograph_do_not_outvote_the_others():
    values = torch.tensor([1.0, 1.0, 1.0, 1.0, -3.0])
    assert by_group(values, [0, 0, 0, 0, 2]).tolist() == [1.0, -3.0]


def test_other_words_and_groups_without_a_loader_are_refused(model, images):
    with pytest.raises(TypeError, match="`correct_norms` must be 'auto', True or False, got 'always'"):
        factorize(model, ranks=RANKS, loader=images, correct_norms="always")
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="`groups` must come with the `loader`"):
        factorize(model, ranks=RANKS, groups=[1, 2])
    with pytest.raises(ValueError, match="`groups` must have one id an input"):
        factorize(model, ranks=RANKS, loader=images, groups=[1, 2])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
