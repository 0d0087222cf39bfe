"""The dual of every activation at every spread, by routes that share nothing with it."""

import math

import pytest
import torch
import torch.nn.functional as F
from oracles import wide_expectation

from lrexplore.dual import ACTIVATIONS, Activation, BatchNorm, respond
from lrexplore.dual.activations import relu_correlation
from lrexplore.dual.correlation import Expansion, correlate_series
from lrexplore.dual.smoothed import near

RHO = [-1.0, -0.95, -0.3, 0.0, 0.4, 0.9, 0.96, 0.999, 0.99999, 1.0]
# (spread of one, of the other, shift of both)
SPREADS = [
    (1e-3, 1e-3, 0.0), (0.1, 0.06, 0.3), (1.0, 1.0, -0.7), (3.0, 2.0, 0.0), (12.0, 12.0, 1.5), (100.0, 70.0, 0.0),
    (1e3, 1e3, 0.0), (1e4, 1e4, 0.0), (1e4, 0.5, 0.0),
]  # fmt: skip
PARAMETERS = [
    "leaky_relu(0.2)",
    "elu(0.3)",
    "celu(2)",
    "softplus(3)",
    "hardtanh(-0.5, 2)",
    "hardshrink(0.1)",
    "threshold(0.1, 2)",
]
SATURATED = ["tanh", "hardtanh", "softsign"]
RECTIFIERS = ["silu", "gelu", "gelu_tanh", "quick_gelu", "mish", "elu", "celu", "softplus", "hardswish", "hard_mish"]


def at(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("first", "second", "shift"), SPREADS)
@pytest.mark.parametrize("name", [*ACTIVATIONS, *PARAMETERS])
def test_duals_equal_brute_quadrature_at_spreads_from_a_thousandth_to_ten_thousand(name, first, second, shift):
    got = ACTIVATIONS[name].dual(at(RHO), first, second, shift)
    energies = [wide_expectation(name, 1.0, scale, scale, shift) for scale in (first, second)]
    size = math.sqrt(energies[0] * energies[1])
    for rho, value in zip(RHO, got.tolist(), strict=True):
        expected = wide_expectation(name, rho, first, second, shift)
        assert value == pytest.approx(expected, rel=0, abs=1e-7 * size + 1e-300)


@pytest.mark.parametrize("name", SATURATED)
def test_a_saturated_activation_is_the_sign_of_its_input(name):
    rho = torch.linspace(-1, 1, 81, dtype=torch.float64)
    # the angle within which neurons are still told apart is the inverse of the spread
    spread, slack = (1e4, 1e-3) if name != "softsign" else (1e7, 1e-5)
    assert float((ACTIVATIONS[name].dual(rho, spread) - torch.arcsin(rho) * 2 / math.pi).abs().max()) < slack


@pytest.mark.parametrize("name", RECTIFIERS)
def test_far_out_a_rectifier_is_relu(name):
    rho = torch.linspace(0, 1, 41, dtype=torch.float64)
    got = ACTIVATIONS[name].dual(rho, 1e4) / 1e8
    assert float((got - relu_correlation(rho) / 2).abs().max()) < 1e-3


@pytest.mark.parametrize("name", ["silu", "elu", "selu", "softsign", "tanhshrink"])
def test_the_series_and_the_rule_for_nearly_equal_inputs_agree_where_both_hold(name):
    record, rho = ACTIVATIONS[name], at([0.6, 0.75, 0.88])
    scale, shift = at([0.6, 1.4, 2.0]), at([0.2, 0.0, -1.1])
    both = Expansion.of(record, scale, shift)
    for value in rho:
        series = correlate_series(record, value.expand(3, 1), both, both)[:, 0]
        rule = near(record, value.expand(3), scale, scale, shift)
        torch.testing.assert_close(rule, series, rtol=0, atol=3e-8)


def test_an_activation_that_bends_sharply_somewhere_and_is_curved_elsewhere_is_right_there_too():
    clipped = Activation("clipped", lambda u: F.silu(u).clamp(max=3), breaks=(3.13101972016,))
    torn = Activation("torn", lambda u: torch.where(u > 0.3, F.silu(u), 0 * u), breaks=(0.3,))
    steep = Activation("steep", lambda u: torch.tanh(50 * u))
    for record in (clipped, torn, steep):
        ACTIVATIONS.add(record)
        try:
            for first, second, shift in ((2.0, 1.6, 0.0), (1.0, 1.0, 0.4), (30.0, 30.0, 0.0)):
                got = record.dual(at([0.5, 0.95, 0.999]), first, second, shift).tolist()
                for rho, value in zip((0.5, 0.95, 0.999), got, strict=True):
                    expected = wide_expectation(record.name, rho, first, second, shift)
                    assert value == pytest.approx(expected, rel=1e-6, abs=1e-9)
        finally:
            del ACTIVATIONS._records[record.name]


@pytest.mark.parametrize("with_batch_norm", [False, True])
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "hardtanh", "relu6", "gelu", "selu", "softsign", "hardshrink"])
@pytest.mark.parametrize("spread", [1e-3, 30.0, 1e4])
def test_tables_over_all_cosines_say_what_single_cosines_say(name, spread, with_batch_norm):
    # many cosines a neuron are interpolated, few are computed
    norms = spread * at([1.0, 1.1, 0.95])
    batch_norm = BatchNorm(norms, at([0.0, 0.5, -1.0])) if with_batch_norm else None
    rho = torch.cat([1 - 10 ** torch.linspace(-12, -0.01, 40, dtype=torch.float64), at([0.0, 1.0])])
    response = respond(norms, name, batch_norm)
    many = rho.expand(3, -1)
    kept = response.best_norm(many) if with_batch_norm else norms[:, None].expand_as(many)
    response.gain(many)
    table = response.loss(many, kept)
    for i, value in enumerate(rho):
        alone = respond(norms, name, batch_norm).loss(value.expand(3), kept[:, i].contiguous())
        assert ((table[:, i] - alone).abs() <= 2e-7 * response.energy).all()


@pytest.mark.parametrize("name", ["tanh", "hardtanh", "gelu", "sigmoid", "relu6", "elu"])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e3, 1e4])
def test_the_gain_is_all_the_energy_less_the_loss_at_the_best_norm(name, spread):
    norms = spread * at([1.0, 1.3])
    response = respond(norms, name)
    for rho in (0.1, 0.5, 0.9, 0.99, 0.9999, 1.0):
        here = torch.full((2,), rho, dtype=torch.float64)
        best = response.best_norm(here)
        gap = response.energy - response.gain(here) - response.loss(here, best)
        assert (gap.abs() <= 2e-6 * response.energy).all()
        for share in (0.3, 0.6, 0.9, 1.0, 1.1):
            assert (response.loss(here, best) <= response.loss(here, share * norms) + 1e-6 * response.energy).all()
