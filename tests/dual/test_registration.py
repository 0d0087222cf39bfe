"""Activations from outside the package are known as ours are."""

import math

import pytest
import torch
import torch.nn.functional as F
from matrices import awkward
from oracles import wide_expectation
from torch import nn

import lrexplore as lr
from lrexplore.dual import ACTIVATIONS, Activation, BatchNorm
from lrexplore.dual.monte_carlo import sampled_function_error
from lrexplore.linalg import Factors, truncate


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch_norm(width):
    return BatchNorm(1 + 0.3 * draw(width, seed=5), draw(width, seed=6))


def bent(u):
    return u + ((u * u + 1).sqrt() - 1) / 2


class Bent(nn.Module):
    def forward(self, x):
        return bent(x)


PIECEWISE = {
    "relu": F.relu, "relu6": F.relu6, "hardswish": F.hardswish, "hardtanh": F.hardtanh, "hardsigmoid": nn.Hardsigmoid(),
    "hardshrink": F.hardshrink, "leaky_relu(0.2)": nn.LeakyReLU(0.2), "threshold(0.1, 2)": nn.Threshold(0.1, 2),
}  # fmt: skip


@pytest.mark.parametrize("with_batch_norm", [False, True])
@pytest.mark.parametrize("name", PIECEWISE)
def test_straight_lines_and_parabolas_under_another_name_are_as_exact_as_under_their_own(name, with_batch_norm):
    # the breaks are found to rounding, and the formulas are the same
    record, ours = lr.activation("another", PIECEWISE[name]), ACTIVATIONS[name]
    assert (record.degree, record.leak) == (ours.degree, ours.leak)
    assert record.breaks == pytest.approx(ours.breaks, abs=1e-12)
    weight = draw(9, 7)
    factors = truncate(weight, 3)
    what = {"batch_norm": batch_norm(9)} if with_batch_norm else {}
    expected = lr.function_error(weight, factors, activation=name, **what)
    assert lr.function_error(weight, factors, activation="another", **what) == pytest.approx(expected, rel=1e-9)


def test_relu_that_is_not_recognized_as_lines_still_has_the_closed_form_of_relu():
    # the route of curved activations, by series and quadrature, on the activation whose dual is known
    ACTIVATIONS.add(Activation("curved", F.relu, breaks=(0.0,)))
    weight = draw(12, 8)
    for scale in (1e-3, 1.0, 1e4):
        for rank in (1, 4, 7):
            factors = truncate(scale * weight, rank)
            expected = lr.function_error(scale * weight, factors)
            assert lr.function_error(scale * weight, factors, activation="curved") == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("with_batch_norm", [False, True])
def test_a_registered_activation_has_the_error_that_sampled_inputs_show(with_batch_norm):
    lr.activation("bent", bent)
    lr.activation("clipped", lambda u: F.silu(u).clamp(max=1.5))
    weight = 1.5 * draw(6, 9)
    factors = truncate(weight, 3)
    for name in ("bent", "clipped"):
        what = {"activation": name, "batch_norm": batch_norm(6) if with_batch_norm else None}
        exact = lr.function_error(weight, factors, **what)
        seen, standard_error = sampled_function_error(
            weight, factors, num_samples=20_000, generator=torch.Generator().manual_seed(1), **what
        )
        assert abs(exact - seen) < 5 * standard_error < 0.3 * exact


@pytest.mark.parametrize(
    ("function", "breaks"),
    [
        (bent, ()),
        (lambda u: F.silu(u).clamp(max=3), (3.13101972016,)),
        (lambda u: F.elu(u, 0.3), (0.0,)),
        (lambda u: F.relu(u) ** 2, (0.0,)),
        (lambda u: torch.where(u > math.pi, u, u.sin()), (math.pi,)),
        (lambda u: F.softsign(u - 0.7), (0.7,)),
        (lambda u: torch.tanh(300 * u), ()),
    ],
)
def test_where_a_function_bends_is_found_and_its_duals_equal_quadrature(function, breaks):
    record = lr.activation("searched", function)
    assert record.breaks == pytest.approx(breaks, abs=1e-9)
    for rho in (0.0, 0.5, 0.9, 0.99):
        expected = wide_expectation("searched", rho, 1.2, 0.9)
        assert float(record.dual(rho, 1.2, 0.9)) == pytest.approx(expected, rel=1e-6)


def test_it_works_wherever_an_activation_is_named():
    lr.activation("bent", bent, modules=(Bent,))
    weight = 0.5 * draw(10, 8)
    errors = {}
    for name in ("spectral", "rescaled", "function"):
        factors = lr.initialize(weight, 3, initializer=name, activation="bent")
        errors[name] = lr.function_error(weight, factors, activation="bent")
    assert errors["function"] <= errors["rescaled"] <= errors["spectral"]
    floor = lr.lower_bound(weight, 3, activation="bent")
    proof = lr.certificate(weight, factors, activation="bent")
    assert 0 < floor <= errors["function"] and proof.lower_bound <= proof.error == errors["function"]
    curve = lr.error_curve(weight, initializer="rescaled", activation="bent")
    assert curve["function_error"].iloc[2] == pytest.approx(errors["rescaled"], rel=1e-6)
    assert lr.error_curve(weight, activation="bent", batch_norm=batch_norm(10), ranks=[8])["function_error"][0] < 1e-9


def test_no_rank_one_factors_lose_less_than_the_floor_of_a_registered_activation():
    # one that falls, rises and bends sharply: of no monotone or homogeneous kind
    lr.activation("wave", lambda u: u * torch.exp(-u * u / 4) + F.relu(u - 1))
    for seed in range(2):
        weight = 1.5 * draw(5, 2, seed=seed)
        floor = lr.lower_bound(weight, 1, activation="wave")
        angle = torch.linspace(0, math.pi, 31, dtype=torch.float64)
        for line in torch.stack([angle.cos(), angle.sin()], 1):
            for share in (-0.5, 0.4, 0.8, 1.0):
                left = share * weight.norm(dim=1, keepdim=True) * (weight @ line).sign()[:, None]
                assert lr.function_error(weight, Factors(left, line[None]), activation="wave") >= floor - 1e-6


def test_it_is_found_in_models_as_a_module_and_as_a_function():
    lr.activation("bent", bent, modules=(Bent,))
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Bent(), nn.Conv2d(4, 4, 3))
    first, _ = lr.layers(net)["follows"]
    assert first == "BN, bent"

    class Calls(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.head(bent(self.fc(x)))

    assert list(lr.layers(Calls(), torch.zeros(2, 6))["follows"]) == ["bent", "nothing"]
    small = lr.factorize(Calls(), rank_scale=0.5)
    assert small(torch.zeros(2, 6)).shape == (2, 3)


def test_the_name_of_a_known_activation_takes_the_same_values_and_adds_modules():
    class Mine(nn.Module):
        def forward(self, x):
            return x * torch.tanh(F.softplus(x))

    record = lr.activation("mish", lambda u: u * torch.tanh(F.softplus(u)), modules=(Mine,))
    assert record.source == "Misra 2019, arXiv:1908.08681" and Mine in record.modules and nn.Mish in record.modules
    assert list(lr.layers(nn.Sequential(nn.Linear(3, 4), Mine()))["follows"]) == ["Mish"]
    lr.activation("bent", bent)
    lr.activation("bent", lambda u: bent(u), modules=(Bent,))
    assert Bent in ACTIVATIONS["bent"].modules


def test_an_endless_wave_is_known_as_far_as_it_was_seen_and_refused_beyond():
    record = lr.activation("wave", torch.sin)
    assert 100 < record.reach < 1e5
    rho = torch.linspace(-1, 1, 9, dtype=torch.float64)
    for scale in (0.5, 3.0, 12.0):
        # E sin(a z) sin(a z') = exp(-a^2) sinh(a^2 rho)
        expected = (torch.exp(-(scale**2) * (1 - rho)) - torch.exp(-(scale**2) * (1 + rho))) / 2
        torch.testing.assert_close(record.dual(rho, scale), expected, rtol=0, atol=1e-7)
    weight = awkward()["square"] * 1e4
    beyond = r"`weight` must lead to pre-activations within \+-\d+.* 'wave'.* Scale it down"
    with pytest.raises(ValueError, match=beyond):
        lr.function_error(weight, truncate(weight, 2), activation="wave")
    with pytest.raises(ValueError, match="`batch_norm` must lead to pre-activations"):
        lr.initialize(weight, 2, activation="wave", batch_norm=BatchNorm(torch.ones(12), torch.full((12,), 1e4)))


class Counts(nn.Module):
    """Remembers how often it was called."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


REFUSED = {
    "infinite": (torch.exp, "`function` must be finite .* got inf at .* Clamp it"),
    "not a number": (torch.log, "`function` must be finite .* got (nan|-inf) at"),
    "a pole at 0": (torch.reciprocal, "`function` must be finite .* got inf at 0"),
    "a pole elsewhere": (lambda u: 1 / (u - 0.123), "`function` must be smooth but for 16 kinks .* or a pole, near 0"),
    "another shape": (nn.GLU(), "`function` must give a tensor of the shape .* one number"),
    "another dtype": (lambda u: u.float(), "`function` must give a tensor of the shape and dtype"),
    "no tensor": (lambda u: 1.0, "`function` must give a tensor .* got a float"),
    "random": (nn.RReLU(), r"`function` must give the same values each time.*call `.eval\(\)`"),
    "dropout": (nn.Dropout(), "`function` must give the same values each time"),
    "counts": (Counts(), "`function` must give the same values each time"),
    "softmax": (nn.Softmax(0), "`function` must act on each entry alone"),
    "centred": (lambda u: u - u.mean(), "`function` must act on each entry alone"),
    "in place": (nn.ReLU(inplace=True), "`function` must leave its argument as it is.*inplace=False"),
    "raises": (lambda u: u @ u.mT.inverse(), "`function` must take a tensor of any shape, got .*Error"),
    "steps": (torch.floor, "`function` must be smooth but for 16 kinks or jumps at most, got "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_function_of_one_number_is_refused_with_the_reason(case):
    function, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        lr.activation("refused", function)
    assert "refused" not in ACTIVATIONS


def test_in_evaluation_mode_a_random_one_is_taken():
    assert lr.activation("rrelu", nn.RReLU().eval()).leak == pytest.approx((1 / 8 + 1 / 3) / 2)


def test_names_and_modules_that_are_taken_or_none_are_refused():
    with pytest.raises(ValueError, match="`name` must be new, .* got 'relu', which computes something else. Choose"):
        lr.activation("relu", torch.tanh)
    for name in ("my act", "leaky(0.2)", "", 3):
        with pytest.raises(ValueError, match="`name` must be a word of letters"):
            lr.activation(name, torch.tanh)
    with pytest.raises(ValueError, match="`modules` must not be known yet, got ReLU, which is 'relu'. Leave it out"):
        lr.activation("mine", bent, modules=(nn.ReLU,))
    for modules in (nn.ReLU(), "ReLU", (int,)):
        with pytest.raises(TypeError, match="`modules` must be classes of nn.Module, got"):
            lr.activation("mine", bent, modules=modules)
    with pytest.raises(TypeError, match="`function` must take a tensor and give one, got <class"):
        lr.activation("mine", nn.Mish)
