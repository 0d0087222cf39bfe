"""Weights and numbers that cannot be computed with are refused in words, wherever they are given."""

import math

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.linalg import check_finite, energy, quick_singular_values, singular_values, stable_rank

WEIGHT = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
FACTORS = lr.Factors(torch.ones(6, 1), torch.ones(1, 4))

ODD = {
    "float8": (lambda: WEIGHT.to(torch.float8_e4m3fn), "of 16 bits or more, got torch.float8_e4m3fn. Convert"),
    "nested": (lambda: torch.nested.nested_tensor([WEIGHT[0], WEIGHT[1, :2]]), "be dense, got a nested tensor"),
    "meta": (lambda: WEIGHT.to("meta"), "hold values"),
    "sparse": (lambda: WEIGHT.to_sparse(), "be dense, got torch.sparse_coo"),
    "quantized": (lambda: torch.quantize_per_tensor(WEIGHT, 0.1, 0, torch.qint8), "got torch.qint8.*dequantize"),
    "complex": (lambda: WEIGHT.to(torch.complex64), "be real, got torch.complex64"),
    "large": (lambda: WEIGHT.double() * 1e150, "largest entry between 1e-100 and 1e.100, got .*e.150. Divide"),
    "tiny": (lambda: WEIGHT.double() * 1e-150, "largest entry between 1e-100 and 1e.100, got .*e-150"),
    "an integer": (lambda: WEIGHT.int(), "be floating point, got torch.int32"),
}
CALLS = {
    "initialize": lambda weight: lr.initialize(weight, 2),
    "spectrum": lambda weight: lr.spectrum(weight),
    "frobenius_error": lambda weight: lr.frobenius_error(weight, FACTORS),
    "function_error": lambda weight: lr.function_error(weight, FACTORS),
    "error_curve": lambda weight: lr.error_curve(weight),
    "lower_bound": lambda weight: lr.lower_bound(weight, 2),
    "certificate": lambda weight: lr.certificate(weight, FACTORS),
    "provable": lambda weight: lr.provable(weight, 2),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("call", CALLS)
def test_an_odd_tensor_is_refused_with_the_way_out(call, kind):
    make, words = ODD[kind]
    with pytest.raises(ValueError, match=f"^`weight` must .*{words}"):
        CALLS[call](make())


@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_tensor_is_refused(call):
    for thing in ([[1.0]], None, nn.Linear(4, 6), "weight"):
        with pytest.raises(TypeError, match="^`weight` must be a torch tensor, got a "):
            CALLS[call](thing)


def test_a_whole_rank_may_be_written_with_a_point():
    assert lr.lower_bound(WEIGHT, 2.0) == lr.lower_bound(WEIGHT, 2)
    assert lr.provable(WEIGHT, 3.0, time_limit_s=1).factors.rank == 3
    assert lr.initialize(WEIGHT, 2.0).rank == 2


BAD = {
    "initializer": [["function"], 3, {"a": 1}],
    "activation": [["relu"], None, 3],
    "scheme": [None, ["channel"], 3, "rows"],
    "rank": [0, -1, 5, 2.5, True, math.nan, "2", None, [2]],
}


@pytest.mark.parametrize(("argument", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_an_argument_of_another_kind_is_named(argument, value):
    options = {"rank": 2, argument: value}
    with pytest.raises(ValueError, match=f"^`{argument}` must "):
        lr.initialize(WEIGHT, **options)


@pytest.mark.parametrize("value", ["x", True, None, math.nan, 0, 1.5, [0.5], torch.tensor(0.5)])
def test_a_rank_scale_of_another_kind_is_named(value):
    net = nn.Sequential(nn.Linear(30, 30))
    match = "`rank_scale` must lie|One of `rank_scale` and"
    with pytest.raises(ValueError, match=match):
        lr.factorize(net, rank_scale=value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scheme": None}, "`scheme` must be one of"), ({"scheme": ["channel"]}, "`scheme` must be one of"),
        ({"initializer": ["function"]}, "`initializer` must be one of"),
        ({"scheme": {"0": None}}, "`scheme` must be one of"),
    ],
)  # fmt: skip
def test_choices_of_another_kind_are_named_for_a_whole_network(options, words):
    with pytest.raises(ValueError, match=words):
        lr.factorize(nn.Sequential(nn.Linear(30, 30)), rank_scale=0.2, **options)


@pytest.mark.parametrize("layers", ["0", 3, [["0"]], [None]])
def test_layers_to_calibrate_are_a_list_of_names(layers):
    with pytest.raises((TypeError, ValueError), match="`layers` must (be|name)"):
        lr.calibrate(nn.Sequential(nn.Linear(30, 30)), [torch.ones(2, 30)], layers=layers)


def test_an_empty_model_is_one_in_which_nothing_can_be_factorized():
    for use in (
        lambda net: lr.allocate(net, parameter_ratio=0.5),
        lambda net: lr.factorize(net, rank_scale=0.5),
    ):
        with pytest.raises(ValueError, match="`model` must have a layer that can be factorized, got a Sequential"):
            use(nn.Sequential())
    assert lr.layers(nn.Sequential()).empty


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["float8", "complex", "large"])
def test_a_layer_with_an_odd_weight_is_called_by_its_name(kind):
    net = nn.Sequential(nn.Linear(4, 6))
    net[0].weight = nn.Parameter(ODD[kind][0](), requires_grad=False)
    with pytest.raises(ValueError, match=r"^`0` must |\(`0`: its weight is "):
        lr.factorize(net, rank_scale=0.3)


def test_quick_singular_values_are_the_singular_values_to_half_their_digits():
    for shape in ((40, 25), (25, 40)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        quick, exact = quick_singular_values(matrix), singular_values(matrix)
        assert torch.allclose(quick.double(), exact, atol=1e-3 * float(exact[0]))
        assert stable_rank(quick) == pytest.approx(stable_rank(exact), rel=1e-5)


def test_rules_read_energy_and_stable_rank_off_one_definition():
    from lrexplore.ranks import rules

    values = singular_values(torch.randn(30, 20, generator=torch.Generator().manual_seed(1)))
    for knob in (0.1, 0.5, 0.9, 1.0):
        rank = rules.energy(values.numpy(), (30, 20), knob)
        kept = energy(values)
        assert float(kept[rank - 1]) >= knob * (1 - 1e-9)
        assert rank == 1 or float(kept[rank - 2]) < knob
    assert rules.stable_rank(values.numpy(), (30, 20), 1 / 16) == round(stable_rank(values))


def test_a_finite_weight_comes_back_detached():
    weight = nn.Parameter(WEIGHT.clone())
    assert torch.equal(check_finite(weight), WEIGHT) and not check_finite(weight).requires_grad
