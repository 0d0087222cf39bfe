import copy
import itertools
import sys
from threading import Thread

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.network import factorized_parameters, find_layers
from lrexplore.ranks import METHODS, allocate, factorize
from lrexplore.ranks.allocate import Allocator


def _tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 8))


@pytest.mark.parametrize("initializer", ["spectral", "function"])
@pytest.mark.parametrize("ratio", [0.5, 0.7, 0.9, 1.0])
def test_the_plan_is_the_best_of_all_rank_vectors(initializer, ratio):
    model = _tiny()
    network = Allocator.of(model, initializer=initializer)
    layers = [layer for layer in find_layers(model) if layer.skip_reason is None]
    total = sum(p.numel() for p in model.parameters())
    best = None
    for ranks in itertools.product(*[range(layer.break_even_rank() + 1) for layer in layers]):
        parameters = sum(
            factorized_parameters(layer, rank) if rank else layer.num_parameters
            for layer, rank in zip(layers, ranks, strict=True)
        )
        if parameters <= ratio * total:
            error = sum(
                network.curves[layer.name, "channel"].error(rank) if rank else 0.0
                for layer, rank in zip(layers, ranks, strict=True)
            )
            best = error if best is None else min(best, error)
    plan = allocate(model, parameter_ratio=ratio, initializer=initializer)
    assert plan.error == pytest.approx(best, abs=1e-12)
    assert plan.gap == 0
    assert plan.parameter_ratio <= ratio


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("budget", ["parameter_ratio", "flop_ratio"])
def test_every_method_keeps_the_budget_and_none_beats_the_optimal_one(model, method, budget):
    example = torch.zeros(1, 3, 12, 12)
    for ratio in (0.3, 0.6):
        plans = [
            allocate(model, **{budget: ratio}, initializer="spectral", method=m, example_input=example)
            for m in (method, "optimal")
        ]
        reached = plans[0].parameter_ratio if budget == "parameter_ratio" else plans[0].flop_ratio
        assert reached <= ratio + 1e-9
        assert plans[1].error <= plans[0].error + 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_with_a_multiple_every_rank_is_one_of_it_within_the_budget(model, method):
    free, eights = (allocate(model, parameter_ratio=0.5, method=method, rank_multiple=k) for k in (1, 4))
    assert eights.ranks and all(rank % 4 == 0 for rank in eights.ranks.values())
    assert eights.parameter_ratio <= 0.5
    if method == "optimal":
        assert eights.error >= free.error - 1e-12


def test_the_factorized_network_has_the_parameters_of_its_plan(model, images):
    plan = allocate(model, parameter_ratio=0.4, loader=images, scheme="best")
    small = factorize(model, plan=plan, loader=images)
    added = sum(module.bias.numel() for module in small.modules() if getattr(module, "bias_added", False))
    assert sum(p.numel() for p in small.parameters()) == plan.parameters[1] + added
    assert small.rank_plan is plan
    assert plan.inputs == "your inputs"


def test_pinned_layers_keep_their_rank_and_the_rest_balances(model):
    free = allocate(model, parameter_ratio=0.6, initializer="spectral")
    pinned = allocate(model, parameter_ratio=0.6, initializer="spectral", pinned={"7": 2, "3": None})
    by_name = {layer.name: layer for layer in pinned.layers}
    assert by_name["7"].rank == 2
    assert by_name["3"].rank is None
    assert by_name["7"].reason == by_name["3"].reason == "pinned"
    assert pinned.error >= free.error
    assert pinned.parameter_ratio <= 0.6


def test_choosing_the_scheme_of_each_layer_is_never_worse(model):
    errors = {
        scheme: allocate(model, parameter_ratio=0.4, initializer="spectral", scheme=scheme).error
        for scheme in ("channel", "spatial", "best")
    }
    assert errors["best"] <= min(errors["channel"], errors["spatial"]) + 1e-12


def test_no_layer_is_factorized_where_that_costs_more(model):
    for ratio in (0.3, 0.9, 1.5):
        plan = allocate(model, parameter_ratio=ratio, initializer="spectral")
        assert all(layer.parameters_after <= layer.parameters_before for layer in plan.layers)
    assert plan.ranks == {}
    assert plan.error == 0


def test_a_layer_that_counts_more_gets_no_less(model):
    light, heavy = (
        allocate(model, parameter_ratio=0.4, initializer="spectral", weights={"7": weight}) for weight in (0.01, 100.0)
    )
    error = [{layer.name: layer.error for layer in plan.layers}["7"] for plan in (light, heavy)]
    assert error[1] < error[0]


def test_sensitivities_are_measured_on_the_loader_and_leave_the_model_alone(model, images):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    plan = allocate(model, parameter_ratio=0.5, loader=iter(images))
    weights = {layer.name: layer.weight for layer in plan.layers if not layer.reason.startswith("too small")}
    assert all(weight > 0 for weight in weights.values())
    assert len(set(weights.values())) > 1
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
    assert not any(module._forward_hooks for module in model.modules())


def test_logits_too_small_to_move_a_probability_still_tell_the_layers_apart(model, images):
    plans = []
    for scale in (1e-6, 1e-9):
        tiny = copy.deepcopy(model)
        tiny[9].weight.data *= scale
        tiny[9].bias.data *= scale
        plans.append(allocate(tiny, parameter_ratio=0.5, loader=images))
    weights = [[layer.weight for layer in plan.layers] for plan in plans]
    assert min(weights[0]) > 1e-3
    assert weights[0] == pytest.approx(weights[1], rel=1e-3)
    assert plans[0].ranks == plans[1].ranks and plans[0].error > 0


def test_latency_is_measured_and_planned(model):
    plan = allocate(
        model, latency_ratio=2.0, initializer="spectral", example_input=torch.zeros(1, 3, 12, 12), pinned={"7": 1}
    )
    before, after = plan.latency_ms
    assert before > 0
    assert 0 < after <= 2 * before


def test_a_budget_that_no_plan_meets_answers_with_the_smallest_reachable(model):
    with pytest.raises(ValueError, match=r"`parameter_ratio` must be at least (0\.\d+) for this model") as raised:
        allocate(model, parameter_ratio=0.001, initializer="spectral")
    smallest = float(str(raised.value).split("at least ")[1].split(" ")[0])
    plan = allocate(model, parameter_ratio=smallest, initializer="spectral")
    assert set(plan.ranks.values()) == {1}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "One of `parameter_ratio`, `flop_ratio`, `latency_ratio` must be given, got none"),
        ({"parameter_ratio": 0.5, "flop_ratio": 0.5}, "got parameter_ratio, flop_ratio"),
        ({"parameter_ratio": -1}, "`parameter_ratio` must be positive"),
        ({"parameter_ratio": 0.5, "method": "guess"}, "`method` must be one of optimal"),
        ({"parameter_ratio": 0.5, "scheme": "both"}, "`scheme` must be one of"),
        ({"parameter_ratio": 0.5, "weights": "none"}, "`weights` must be one of"),
        ({"parameter_ratio": 0.5, "weights": "sensitivity"}, "`loader` must be given"),
        ({"parameter_ratio": 0.5, "initializer": "magic"}, "`initializer` must be one of"),
        ({"parameter_ratio": 0.5, "initializer": "whitened"}, "`calibration` must be given"),
        ({"parameter_ratio": 0.5, "pinned": {"no": 3}}, "`pinned` must name layers"),
        ({"parameter_ratio": 0.5, "pinned": {"7": 400}}, "`rank` must be a whole number"),
        ({"parameter_ratio": 0.5, "loader": []}, "`loader` must give at least one batch"),
    ],
)
def test_what_cannot_be_is_refused(model, options, words):
    with pytest.raises(ValueError, match=words):
        allocate(model, **{"initializer": "spectral"} | options if "loader" not in options else options)


def test_pins_that_came_and_went_leave_no_trace():
    network = Allocator.of(_tiny(), initializer="spectral")
    before = network.plan("parameter_ratio", 0.8)
    pinned = network.with_pins({"2": 1})
    assert pinned.plan("parameter_ratio", 0.8).ranks["2"] == 1
    assert network.plan("parameter_ratio", 0.8) == before
    assert pinned.with_pins({}).plan("parameter_ratio", 0.8) == before


@pytest.mark.parametrize("pins", [{}, {"0": 3}, {"2": None}])
def test_the_smallest_ratio_is_reached_and_nothing_below_it(pins):
    network = Allocator.of(_tiny(), initializer="spectral").with_pins(pins)
    smallest = network.smallest("parameter_ratio")
    assert network.plan("parameter_ratio", smallest).parameter_ratio == pytest.approx(smallest)
    with pytest.raises(ValueError, match="must be at least"):
        network.plan("parameter_ratio", smallest - 0.001)


def test_a_search_with_few_states_keeps_the_budget_and_states_its_gap():
    network = Allocator.of(_tiny(), initializer="spectral")
    quick, exact = (network.plan("parameter_ratio", 0.9, max_states=states) for states in (2, 20_000))
    assert quick.parameter_ratio <= 0.9
    assert (1 - quick.gap) * quick.error <= exact.error <= quick.error


def test_sizes_are_those_of_the_loaders_inputs(model, images, two_inputs, named_inputs):
    plan = allocate(model, flop_ratio=0.5, loader=images)
    assert plan.flops[0] == sum(layer.flops for layer in find_layers(model, images[0]))
    assert plan.flops[0] < sum(layer.flops for layer in find_layers(model))
    by_name = allocate(two_inputs, flop_ratio=0.6, loader=named_inputs)
    assert by_name.flops[0] == 20 * 32 + 32 * 10


def test_an_unknown_size_says_once_what_to_pass(two_inputs):
    with pytest.raises(ValueError, match=r"Pass `example_input`\. Or set a `parameter_ratio`\.$"):
        allocate(two_inputs, flop_ratio=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "One of `parameter_ratio`.*must be given, got none"),
        ({"parameter_ratio": ".5"}, "`parameter_ratio` must be a number, got '.5'"),
        ({"parameter_ratio": 0.0}, "`parameter_ratio` must be positive, got 0.0"),
        ({"parameter_ratio": 0.5, "method": "best"}, "`method` must be one of"),
        ({"parameter_ratio": 0.5, "initializer": "functon"}, "`initializer` must be one of"),
        ({"parameter_ratio": 0.5, "pinned": ["0"]}, "`pinned` must be a dict of layer name -> rank, got a list"),
        ({"parameter_ratio": 0.5, "pinned": {"0": 99}}, "`pinned` of layer '0': `rank` must be .* 1..16"),
        ({"parameter_ratio": 0.5, "weights": {"zero": 1}}, "`weights` must name layers of the model, got 'zero'"),
        ({"parameter_ratio": 0.5, "weights": {"0": -3.0}}, "`weights` must be numbers >= 0, got -3.0 for layer '0'"),
        ({"parameter_ratio": 0.5, "weights": {"0": float("nan")}}, "`weights` must be numbers >= 0, got nan"),
        ({"parameter_ratio": 0.5, "calibration": "file"}, "`calibration` must be what .* returns, got a str"),
    ],
)
def test_choices_are_checked_before_any_curve_is_computed(model, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        allocate(model, **options, progress=lambda *step: pytest.fail("a curve was computed first"))


def test_copies_of_an_allocator_may_be_asked_by_many_threads_at_once():
    model = nn.Sequential(*[nn.Linear(8 + k, 9 + k) for k in range(40)])
    network, errors = Allocator.of(model, initializer="spectral"), []

    def ask(number):
        try:
            for turn in range(20):
                name = str((7 * number + turn) % 40)
                mine = network.with_pins({name: 1 + turn % 8})
                mine.plan("parameter_ratio", 0.95, method="energy")
                mine.with_weights({name: 2.0}, "given").options("flop_ratio")
        except BaseException as error:
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    sys.setswitchinterval(before)
    assert errors == []


def test_a_model_without_values_is_refused():
    with torch.device("meta"):
        model = _tiny()
    with pytest.raises(ValueError, match="`model` must hold values, got `0` with a weight on the meta device"):
        allocate(model, parameter_ratio=0.5)


def test_a_head_that_is_zero_at_the_start_does_not_bring_every_layer_to_rank_one():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).eval()
    nn.init.zeros_(net[4].weight)
    loader = [torch.randn(64, 32)]
    plan = allocate(net, parameter_ratio=0.8, loader=loader, use_cache=False)
    assert plan.weights == "plain" and plan == allocate(
        net, parameter_ratio=0.8, loader=loader, weights="plain", use_cache=False
    )
    assert 0.7 < plan.parameter_ratio <= 0.8


class Boxes(nn.Module):
    """A detector: of a list of images a list of dicts."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16, 10)

    def forward(self, images, targets=None):
        return [{"boxes": self.head(self.conv(image).mean((1, 2)))[None]} for image in images]


DETECTED = [([torch.rand(3, 9, 9), torch.rand(3, 12, 9)],)]


def test_a_detector_gets_a_plan_with_its_layers_weighed_alike_and_a_warning():
    with pytest.warns(UserWarning, match="weighed alike: the model answers with no tensor.*`logits=`"):
        plan = lr.allocate(Boxes(), parameter_ratio=0.8, loader=DETECTED, use_cache=False)
    assert plan.weights == "plain" and plan.ranks and plan.parameter_ratio <= 0.8
    watched = lr.allocate(
        Boxes(), parameter_ratio=0.8, loader=DETECTED, logits=lambda said: torch.cat([one["boxes"] for one in said]),
        use_cache=False,
    )  # fmt: skip
    assert watched.weights.startswith("sensitivity")


@pytest.mark.parametrize("choices", [{"weights": "sensitivity"}, {"logits": "scores"}])
def test_an_answer_that_cannot_be_watched_as_asked_is_refused_before_any_work(choices):
    done = []
    with pytest.raises(ValueError, match="`model` must answer with logits"):
        lr.allocate(
            Boxes(), parameter_ratio=0.8, loader=DETECTED, use_cache=False, progress=lambda *words: done.append(words),
            **choices,
        )  # fmt: skip
    assert done == []
