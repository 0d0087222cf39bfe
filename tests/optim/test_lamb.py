import copy

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.optim import Lamb, frobenius_penalty


def stepped(optimizer, parameters, num_steps=5):
    """The parameters after steps on gradients that are drawn alike."""
    draws = torch.Generator().manual_seed(1)
    for _ in range(num_steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=draws)
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def drawn(scale=1.0):
    draws = torch.Generator().manual_seed(0)
    return [nn.Parameter(scale * torch.randn(shape, generator=draws)) for shape in ((8, 6), (3, 4, 5))]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_its_steps_are_those_of_timms_lamb(weight_decay):
    from timm.optim import Lamb as Reference

    mine, theirs = drawn(), drawn()
    options = {"lr": 0.02, "weight_decay": weight_decay, "eps": 1e-6}
    reference = Reference(theirs, max_grad_norm=None, always_adapt=True, decoupled_decay=False, **options)
    for a, b in zip(stepped(Lamb(mine, **options), mine), stepped(reference, theirs), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_the_length_of_a_step_is_the_rate_times_the_norm_up_to_ten():
    for scale, expected in ((0.1, None), (100.0, 10.0)):
        parameters = drawn(scale)
        before = [parameter.detach().clone() for parameter in parameters]
        after = stepped(Lamb(parameters, lr=0.01), parameters, 1)
        for old, new in zip(before, after, strict=True):
            assert (new - old).norm().item() == pytest.approx(0.01 * (expected or old.norm().item()), rel=1e-4)


def test_vectors_and_weights_of_norm_zero_take_adams_step():
    mine, theirs = ([nn.Parameter(torch.ones(5)), nn.Parameter(torch.zeros(2, 3))] for _ in range(2))
    adam = torch.optim.Adam(theirs, lr=0.01, eps=1e-6)
    for a, b in zip(stepped(Lamb(mine, lr=0.01), mine, 1), stepped(adam, theirs, 1), strict=True):
        torch.testing.assert_close(a, b)


def test_frobenius_decay_stands_where_lambs_own_decay_does():
    torch.manual_seed(0)
    layer = lr.FactorizedLinear(6, 8, rank=3, bias=False)
    other = copy.deepcopy(layer)
    optimizer = Lamb(layer.parameters(), lr=0.02)
    lr.FrobeniusDecay(layer, 0.3).attach(optimizer)
    penalty = 0.3 * frobenius_penalty(other) / 2
    decays = torch.autograd.grad(penalty, [other.left, other.right])
    factors, expected = [layer.left, layer.right], [other.left, other.right]
    stepped(optimizer, factors, 1)
    draws = torch.Generator().manual_seed(1)
    for weight, decay, moved in zip(expected, decays, factors, strict=True):
        gradient = torch.randn(weight.shape, generator=draws)
        update = gradient / (gradient.abs() + 1e-6) + decay  # Adam's first step is the sign
        torch.testing.assert_close(moved, weight - 0.02 * weight.norm() / update.norm() * update)
    assert optimizer._decays == {}


def test_a_saved_state_goes_on_with_the_same_numbers():
    whole, parts = drawn(), drawn()
    stepped(first := Lamb(whole, lr=0.02), whole, 3)
    stepped(second := Lamb(parts, lr=0.02), parts, 3)
    third = Lamb(parts, lr=0.02)
    third.load_state_dict(copy.deepcopy(second.state_dict()))
    for a, b in zip(stepped(first, whole, 2), stepped(third, parts, 2), strict=True):
        assert a.equal(b)


@pytest.mark.parametrize("choice", [{"lr": -1.0}, {"betas": (0.9, 1.0)}, {"eps": 0.0}, {"weight_decay": -0.1}])
def test_choices_that_make_no_sense_are_refused(choice):
    with pytest.raises(ValueError, match=rf"`{next(iter(choice))}` must be .*, got .*\. Leave it out"):
        Lamb(drawn(), **choice)
