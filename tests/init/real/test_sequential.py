"""The initializer `sequential` on inputs that have moved in a known way."""

from dataclasses import fields, replace

import pytest
import torch

from lrexplore.init import Problem
from lrexplore.init.real.problem import RealProblem
from lrexplore.init.real.sequential import ShiftedProblem, sequential
from lrexplore.init.real.whitened import whitened
from lrexplore.linalg.inputs import LayerInputs
from lrexplore.linalg.shifted_inputs import ShiftedInputs

N, NEURONS, COUNT = 12, 9, 4000


def inputs_of(x, held_out):
    ones = torch.ones(NEURONS)
    return LayerInputs(
        mean=x.double().mean(0), second_moment=x.double().mT @ x.double() / len(x), sampling_variance=0.0,
        num_vectors=len(x), samples=x[:500], held_out=held_out, scale=ones, shift=0 * ones, output_mean=0 * ones,
        output_variance=ones, active=ones / 2, implied_share=1e-9,
    )  # fmt: skip


def shifted(x, moved, held_out, held_out_moved):
    """Inputs that went from `x` (count, n) to `moved`, with pairs held out."""
    original, other = inputs_of(x, held_out), inputs_of(moved, held_out_moved)
    mean, other_mean = x.double().mean(0), moved.double().mean(0)
    cross = x.double().mT @ moved.double() / len(x) - torch.outer(mean, other_mean)
    values = {field.name: getattr(other, field.name) for field in fields(other)}
    return ShiftedInputs(**values, original=original, cross=cross)


@pytest.fixture
def drawn():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(COUNT, N, generator=generator) @ torch.randn(N, N, generator=generator) + 1
    weight = torch.randn(NEURONS, N, generator=generator)
    return x, weight, generator


def problem_of(weight, activation="identity"):
    return Problem.of(weight, "channel", activation, None)


def test_where_nothing_has_changed_it_is_whitened(drawn):
    x, weight, _ = drawn
    entry = inputs_of(x, x[:300])
    own, other = (
        sequential(problem_of(weight), 3, calibration=entry),
        whitened(problem_of(weight), 3, calibration=entry),
    )
    assert torch.equal(own.product(), other.product())
    assert torch.equal(own.bias, other.bias)


def test_a_linear_change_of_the_inputs_is_undone(drawn):
    x, weight, generator = drawn
    change = torch.eye(N) + 0.2 * torch.randn(N, N, generator=generator)
    entry = shifted(x, x @ change.mT + 2, x[:300], x[:300] @ change.mT + 2)
    real = ShiftedProblem(problem_of(weight), entry, ridge=0.0)
    torch.testing.assert_close(real.neurons, (weight @ change.inverse()).double(), rtol=1e-3, atol=1e-3)
    full = real.factors(NEURONS)
    torch.testing.assert_close(real.outputs(full, real.held_out), real.exact(x[:300] * 0) + x[:300] @ weight.mT,
                               rtol=2e-3, atol=2e-2)  # fmt: skip
    assert real.error(full) < 1e-6


def test_with_a_huge_ridge_the_weight_stays(drawn):
    x, weight, generator = drawn
    moved = x + torch.randn(COUNT, N, generator=generator)
    real = ShiftedProblem(problem_of(weight), shifted(x, moved, x[:300], moved[:300]), ridge=1e9)
    torch.testing.assert_close(real.neurons, weight.double(), rtol=1e-6, atol=1e-6)


def test_the_wanted_weight_is_the_regression_of_the_outputs_on_the_new_inputs(drawn):
    x, weight, generator = drawn
    moved = x.tanh() + 0.3 * torch.randn(COUNT, N, generator=generator)
    real = ShiftedProblem(problem_of(weight), shifted(x, moved, x[:300], moved[:300]), ridge=0.0)
    design = torch.cat([moved, torch.ones(COUNT, 1)], 1).double()
    solution = torch.linalg.lstsq(design, (x @ weight.mT).double()).solution
    torch.testing.assert_close(real.neurons, solution[:-1].mT, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(real.offset, solution[-1], rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("activation", ["identity", "relu", "gelu"])
@pytest.mark.parametrize("noise", [0.0, 0.1, 3.0])
def test_held_out_it_is_never_worse_than_what_was_fitted_to_the_original_inputs(drawn, activation, noise):
    x, weight, generator = drawn
    moved = x * 0.8 + noise * torch.randn(COUNT, N, generator=generator)
    entry = shifted(x, moved, x[:300], moved[:300])
    problem = problem_of(weight, activation)
    judge = ShiftedProblem(problem, entry, 0.1)
    wanted = RealProblem(problem, entry.original).wanted
    before = whitened(problem, 4, calibration=entry.original)
    assert torch.equal(judge.wanted, wanted)
    assert judge.error(sequential(problem, 4, calibration=entry)) <= judge.error(before)


def test_the_spatial_scheme_counts_rows_of_the_kernel():
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(NEURONS, 4, 3, 1, generator=generator)
    x = torch.randn(COUNT, N, generator=generator)
    change = torch.eye(N) + 0.2 * torch.randn(N, N, generator=generator)
    entry = shifted(x, x @ change.mT, x[:300], x[:300] @ change.mT)
    entry = replace(entry, kernel_size=(3, 1), original=replace(entry.original, kernel_size=(3, 1)))
    problem = Problem.of(kernel, "spatial", "identity", None)
    real = ShiftedProblem(problem, entry, 0.0)
    assert real.error(real.factors(4)) < 1e-6  # 4 columns: the full rank
    outputs = real.held_out @ real.neurons.to(x.dtype).mT
    torch.testing.assert_close(outputs, x[:300] @ kernel.flatten(1).mT, rtol=1e-2, atol=1e-2)


def test_pairs_that_do_not_belong_together_are_refused(drawn):
    x, _, _ = drawn
    entry = shifted(x, x, x[:300], x[:300])
    with pytest.raises(ValueError, match="`held_out` must have shape .* in pairs"):
        replace(entry, held_out=entry.held_out[:5])
    with pytest.raises(ValueError, match="`cross` must have shape"):
        replace(entry, cross=torch.eye(3))
