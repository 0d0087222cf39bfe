import math

import numpy as np
import pytest
import torch
from oracles import neuron_loss, pair_expectation
from scipy.optimize import minimize_scalar

from lrexplore.dual import ACTIVATIONS, BatchNorm, respond

NORMS = [0.3, 1.0, 2.0]
RHO = [-0.7, 0.0, 0.2, 0.6, 0.95, 0.999, 1.0]
BATCH_NORMS = [(1.0, 0.0), (-1.3, 0.4), (0.4, -1.0), (2.5, 1.5)]


def _response(name, norms=NORMS, batch_norm=None):
    norms = torch.tensor(norms, dtype=torch.float64)
    if batch_norm is not None:
        batch_norm = BatchNorm(*(torch.full_like(norms, x) for x in batch_norm))
    return respond(norms, name, batch_norm)


def _column(value, like=NORMS):
    return torch.full((len(like), 1), value, dtype=torch.float64)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_losses_without_batch_norm_equal_quadrature_at_every_scale(name):
    response = _response(name)
    norms = torch.tensor(NORMS, dtype=torch.float64)[:, None]
    for rho in RHO:
        for share in (0.0, 0.4, 1.0, 1.1, 2.0):
            got = response.loss(_column(rho), share * norms)[:, 0]
            for norm, energy, loss in zip(NORMS, response.energy, got, strict=True):
                expected = neuron_loss(name, rho, norm, share * norm)
                assert float(loss) == pytest.approx(expected, abs=float(energy) * 1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("batch_norm", BATCH_NORMS)
def test_losses_after_batch_norm_equal_quadrature_whatever_the_norms(name, batch_norm):
    response = _response(name, batch_norm=batch_norm)
    gamma, beta = abs(batch_norm[0]), batch_norm[1]
    energy = pair_expectation(name, 1.0, gamma, gamma, beta)
    tolerance = energy * 1e-7
    torch.testing.assert_close(response.energy, torch.full((3,), energy, dtype=torch.float64), rtol=1e-9, atol=0)
    for rho in RHO:
        expected = 2 * (energy - pair_expectation(name, rho, gamma, gamma, beta))
        for norm in (1e-3, 0.7, 50.0):
            got = response.loss(_column(rho), _column(norm))
            assert got.flatten().tolist() == pytest.approx([expected] * 3, abs=tolerance)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("batch_norm", BATCH_NORMS)
def test_a_neuron_silenced_before_batch_norm_gives_a_constant(name, batch_norm):
    gamma, beta = abs(batch_norm[0]), batch_norm[1]
    rest = float(ACTIVATIONS[name].function(torch.tensor(beta, dtype=torch.float64)))
    expected = neuron_loss(name, 0.0, gamma, 0.0, beta)
    alive = _response(name, batch_norm=batch_norm).loss(_column(0.0), _column(0.0))
    assert alive.flatten().tolist() == pytest.approx([expected] * 3, abs=1e-6 * (1 + expected))
    dead = _response(name, [0.0], batch_norm)
    assert float(dead.energy[0]) == pytest.approx(rest**2)
    at = _column(0.0, [0])
    assert float(dead.loss(at, at)) == 0
    assert float(dead.loss(at, at + 1)) == pytest.approx(expected, abs=1e-6 * (1 + expected))
    assert float(dead.gain(at)) == float(dead.energy[0]) and float(dead.gain_slope(at)) == 0


@pytest.mark.parametrize("batch_norm", [None, *BATCH_NORMS])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_gain_is_convex_increasing_its_slope_its_derivative_and_all_energy_at_one(name, batch_norm):
    response = _response(name, batch_norm=batch_norm)
    rho = torch.linspace(0, 1, 401, dtype=torch.float64).expand(len(NORMS), -1)
    gain, slope = response.gain(rho), response.gain_slope(rho)
    scale = response.energy[:, None]
    # The least loss is found to some 1e-7 of the energy; differences see that noise. Before SELU the best norm leaves
    # 0 only at some cosine, where the gain bends.
    noise = (4e-6 if name == "selu" else 1e-6) * scale if batch_norm is None else 1e-9 * scale
    assert (gain.diff() >= -noise).all()
    assert (gain.diff(n=2) >= -noise).all()
    torch.testing.assert_close(gain[:, -1:], scale, rtol=1e-6, atol=0)
    middle = rho[:, 20:-20]
    step = 1e-3
    difference = (response.gain(middle + step) - response.gain(middle - step)) / (2 * step)
    assert ((slope[:, 20:-20] - difference).abs() <= 2e-3 * scale).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("norm", [0.2, 1.0, 3.0])
def test_the_best_norm_loses_as_little_as_a_one_dimensional_search(name, norm):
    response = _response(name, [norm])
    energy = pair_expectation(name, 1.0, norm, norm)
    for rho in (0.05, 0.3, 0.8, 0.99):

        def objective(other, rho=rho):
            return pair_expectation(name, 1.0, other, other) - 2 * pair_expectation(name, rho, norm, other)

        grid = np.linspace(1e-4, 2 * norm, 21)
        start = grid[np.argmin([objective(x) for x in grid])]
        step = 2 * norm / 20
        found = minimize_scalar(objective, bounds=(max(1e-6, start - step), start + step), method="bounded")
        least = energy + found.fun
        at = _column(rho, [norm])
        best = response.best_norm(at)
        assert neuron_loss(name, rho, norm, float(best)) <= least + 3e-4 * energy
        assert float(response.energy[0] - response.gain(at)) == pytest.approx(least, abs=3e-4 * energy)


def test_relu_has_the_losses_of_the_table():
    rho = torch.tensor([[0.01, 0.05, 0.10, 0.20, 0.50]], dtype=torch.float64).sqrt()
    response = _response("relu", [1.0])
    best = response.best_norm(rho)
    plain, rescaled = response.loss(rho, rho), response.loss(rho, best)
    factor = (best / rho)[0].tolist()
    assert factor == pytest.approx([3.70, 1.959, 1.557, 1.284, 1.068], abs=6e-3)
    assert [round(x, 4) for x in plain[0].tolist()] == [0.4680, 0.4270, 0.3943, 0.3432, 0.2158]
    assert [round(x, 4) for x in rescaled[0].tolist()] == [0.4316, 0.4040, 0.3787, 0.3351, 0.2147]
    gap = (1 - rescaled / plain)[0].tolist()
    assert gap == pytest.approx([0.078, 0.0539, 0.0394, 0.0235, 0.0054], abs=6e-5 + 5e-4 * (gap[0] > 0.07))


def test_the_gap_of_spectral_to_rescaled_is_half_the_squared_lift_and_at_most_one_over_pi_squared():
    rho = torch.linspace(0, 1, 500, dtype=torch.float64)[None]
    response = _response("relu", [1.0])
    gap = response.loss(rho, rho) - response.loss(rho, response.best_norm(rho))
    lift = response.best_norm(rho) - rho
    torch.testing.assert_close(gap, lift**2 / 2, atol=1e-12, rtol=0)
    share = gap / response.energy
    assert float(share.max()) == pytest.approx(1 / math.pi**2)
    assert int(share.argmax()) == 0


def test_the_asymptotic_gap_is_a_cube():
    root = torch.linspace(0.5, 0.95, 10, dtype=torch.float64)[None]
    gap = (_response("relu", [1.0]).best_norm(root) - root) ** 2 / 2
    cube = 0.0507 * (1 - root) ** 3
    assert float((gap / cube - 1).abs().max()) < 0.15
    square = 0.0507 * (1 - root) ** 2
    assert float(gap[0, -1] / square[0, -1]) < 0.06


def test_a_layer_of_many_norms_costs_no_digits_of_its_error():
    norms = [0.01, 0.1, 1.0, 3.0]
    for name in ("silu", "gelu", "tanh", "sigmoid"):
        response = _response(name, norms)
        got = response.loss(_column(0.6, norms), 0.7 * torch.tensor(norms, dtype=torch.float64)[:, None])
        expected = sum(neuron_loss(name, 0.6, norm, 0.7 * norm) for norm in norms)
        assert float(got.sum()) == pytest.approx(expected, abs=1e-6 * float(response.energy.sum()))


def test_a_layer_of_zeros_before_an_activation_has_its_resting_energy():
    for name in ACTIVATIONS:
        response = _response(name, [0.0, 0.0])
        at_zero = float(ACTIVATIONS[name].function(torch.tensor(0.0, dtype=torch.float64)))
        assert response.energy.tolist() == pytest.approx([at_zero**2] * 2, abs=1e-12)
        assert response.best_norm(_column(0.5, [0, 0])).abs().max() < 1e-12


@pytest.mark.parametrize("width", [1, 4])
def test_a_batch_norm_of_another_layer_is_refused(width):
    message = rf"`batch_norm` must be .* each \(3,\).* got \({width},\).*Pass the batch norm"
    with pytest.raises(ValueError, match=message):
        respond(torch.ones(3), "relu", BatchNorm(torch.ones(width), torch.ones(width)))


def test_a_batch_norm_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="`batch_norm` must be finite, got 1 NaN or infinite of 6 entries. Repair"):
        respond(torch.ones(3), "relu", BatchNorm(torch.tensor([1.0, math.nan, 1.0]), torch.ones(3)))
