import pytest
import torch
from oracles import relu_error

from lrexplore.dual import ACTIVATIONS, BatchNorm, function_error
from lrexplore.init import Problem, initialize, single_errors
from lrexplore.init.rescaled import rescaled
from lrexplore.linalg import SCHEMES, Factors, dematricize, matricize, neuron_norms


def _kernel(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("scheme", "shape", "rank"), [("spatial", (24, 16, 3, 3), 7), ("channel", (16, 6, 3, 3), 4)])
def test_for_relu_no_left_factor_over_the_same_subspace_loses_less(scheme, shape, rank):
    kernel = _kernel(*shape)
    ours = initialize(kernel, rank, initializer="rescaled", scheme=scheme)
    matrix, rows = matricize(kernel, scheme), 3 if scheme == "spatial" else 1
    left = initialize(kernel, rank, initializer="spectral", scheme=scheme).left.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([left], max_iter=300, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def closure():
        optimizer.zero_grad()
        loss = relu_error(matrix, left @ ours.right, rows)
        loss.backward()
        return loss

    optimizer.step(closure)
    least = function_error(kernel, Factors(left.detach(), ours.right))
    assert function_error(kernel, ours) == pytest.approx(least, rel=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_other_norms_of_the_projected_neurons_lose_less(activation, scheme):
    kernel = 0.5 * _kernel(3, 4, 2, 2)
    problem = Problem.of(kernel, scheme, activation, None)
    ours = rescaled(problem, 2)
    loss = single_errors(problem, ours, 2).loss
    for scale in torch.linspace(0, 2, 41, dtype=torch.float64):
        other = single_errors(problem, Factors(scale * ours.left, ours.right), 2).loss
        assert (loss <= other + 1e-4 * loss).all()


def test_for_relu_the_projection_is_never_shrunk_and_for_the_identity_left_alone():
    kernel = _kernel(8, 5, 3, 3)
    for scheme in SCHEMES:
        plain, lifted, linear = (
            dematricize(initialize(kernel, 3, scheme=scheme, **what).product(), kernel.shape, scheme).flatten(1)
            for what in (
                {"initializer": "spectral"},
                {"initializer": "rescaled"},
                {"initializer": "rescaled", "activation": "identity"},
            )
        )
        factor = lifted.norm(dim=1) / plain.norm(dim=1)
        assert (factor > 1).all()
        torch.testing.assert_close(lifted, factor[:, None] * plain)
        torch.testing.assert_close(linear, plain)


def test_after_batch_norm_neurons_keep_their_norms():
    matrix = _kernel(9, 6)
    factors = initialize(matrix, 2, initializer="rescaled", batch_norm=BatchNorm(torch.ones(9), torch.zeros(9)))
    torch.testing.assert_close(neuron_norms(factors.product()), neuron_norms(matrix))


def test_a_neuron_orthogonal_to_the_subspace_gets_a_direction_and_a_dead_one_none():
    matrix = torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.0], dtype=torch.float64))
    product = initialize(matrix, 1, initializer="rescaled").product()
    norms = neuron_norms(product).tolist()
    assert norms == pytest.approx([3, 2 / torch.pi, 1 / torch.pi, 0])
