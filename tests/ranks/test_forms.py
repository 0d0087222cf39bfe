import itertools

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.linalg.tensors import TENSOR_FORMS
from lrexplore.network import find_layers
from lrexplore.network.layers import tensor_flops, tensor_parameters
from lrexplore.nn import FactorizedConv2d
from lrexplore.nn.tensor import CONVS, TuckerConv2d
from lrexplore.ranks.allocate import Allocator
from lrexplore.ranks.form_menus import form_menus
from lrexplore.training.model import build_model

SIZE = (12, 12)
EXAMPLE = torch.zeros(1, 3, *SIZE)


@pytest.fixture
def kernels():
    """Kernels of which one is of low Tucker rank and one of low matrix rank, and a classifier."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 5),
    ).eval()  # fmt: skip
    core = torch.randn(3, 3, 3, 3)
    left, right = torch.randn(16, 3), torch.randn(3, 12)
    net[2].weight.data = torch.einsum("op,pqab,qc->ocab", left, core, right) / 10
    return net


@pytest.mark.parametrize("form", TENSOR_FORMS)
def test_a_menu_says_what_the_factors_that_are_made_lose_and_cost(kernels, form):
    layers = find_layers(kernels, EXAMPLE)
    menus = form_menus(kernels, layers, forms=("matrix", form), initializer="function")
    assert [name for name, _ in menus] == ["0", "2", "4"]
    for layer in layers:
        if layer.name not in ("2", "4"):
            continue
        menu = menus[layer.name, form]
        assert 2 <= len(menu.ranks) == len(menu.errors) <= 28
        for ranks, error in list(zip(menu.ranks, menu.errors, strict=True))[::4]:
            small = lr.factorize(kernels, form=form, ranks={layer.name: ranks})
            module = small.get_submodule(layer.name)
            bias = module.bias.numel()
            assert tensor_parameters(layer, form, ranks) == sum(f.numel() for f in module.factor_parameters()) + bias
            [call] = layer.calls
            assert tensor_flops(layer, form, ranks) == module.multiply_adds(call.input_size, call.output_size)
            if layer.groups == 1:
                weight = kernels.get_submodule(layer.name).weight
                product = module.weight.detach().flatten(1)
                expected = lr.function_error(weight, lr.Factors(torch.eye(len(product)), product))
                assert error == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_the_plan_takes_the_form_that_loses_least_and_factorize_makes_it(kernels, tmp_path):
    pair = lr.allocate(kernels, parameter_ratio=0.5, initializer="spectral", example_input=EXAMPLE)
    both = lr.allocate(
        kernels, parameter_ratio=0.5, initializer="spectral", forms=("matrix", "tucker"), example_input=EXAMPLE
    )
    assert both.error < pair.error and both.gap == 0 and both.parameter_ratio <= 0.5
    assert set(pair.forms.values()) == {"matrix"} and both.forms["2"] == "tucker"
    small = lr.factorize(kernels, plan=both)
    assert isinstance(small[2], TuckerConv2d) and small[2].ranks == both.ranks["2"]
    assert sum(p.numel() for p in small.parameters()) == both.parameters[1]
    reported = lr.report(small).set_index("name")
    assert reported.loc["2", "form"] == "tucker" and reported.loc["2", "rank"] == both.ranks["2"]
    assert int(reported["parameters_after"].sum()) == both.parameters[1]
    again = lr.RankPlan.from_json(both.to_json())
    assert again == both and again.table()["form"].tolist() == both.table()["form"].tolist()
    assert list(pair.diff(both)["layer"])
    lr.save(small, tmp_path / "small.safetensors")
    images = torch.randn(2, 3, *SIZE)
    assert lr.compare(kernels, small, [images], latency_rounds=0).loc["MFLOP", "factorized"] == both.flops[1] / 1e6


@pytest.mark.parametrize("budget", ["parameter_ratio", "flop_ratio"])
def test_the_plan_is_the_best_of_all_choices_on_the_menus(kernels, budget):
    network = Allocator.of(
        kernels, initializer="spectral", forms=("matrix", "tucker", "tt"), example_input=EXAMPLE, pinned={"4": None}
    )
    options, total = network.options(budget), network.total(budget)
    fixed = total - sum(option.original_cost for option in options)
    for ratio in (0.5, 0.8):
        plan = network.plan(budget, ratio)
        best = min(
            sum(option.errors[pick] for option, pick in zip(options, picks, strict=True))
            for picks in itertools.product(*[range(len(option.costs)) for option in options])
            if sum(option.costs[pick] for option, pick in zip(options, picks, strict=True)) <= ratio * total - fixed
        ) if ratio == 0.8 else plan.error  # fmt: skip
        assert plan.error == pytest.approx(best, abs=1e-12)
        reached = plan.parameter_ratio if budget == "parameter_ratio" else plan.flop_ratio
        assert reached <= ratio + 1e-9


def test_matrices_only_is_as_it_was(kernels):
    plain = lr.allocate(kernels, parameter_ratio=0.6, example_input=EXAMPLE)
    named = lr.allocate(kernels, parameter_ratio=0.6, forms="matrix", example_input=EXAMPLE)
    assert plain == named and plain.table()["rank"].dtype == "Int64"
    assert isinstance(lr.factorize(kernels, plan=plain)[2], FactorizedConv2d)


def test_a_budget_below_what_a_form_can_reach_says_the_smallest(kernels):
    with pytest.raises(ValueError, match=r"`parameter_ratio` must be at least (0\.\d+) .* in the forms tt.*") as found:
        lr.allocate(kernels, parameter_ratio=0.01, forms=("tt",), initializer="spectral")
    smallest = float(str(found.value).split("at least ")[1].split()[0])
    plan = lr.allocate(kernels, parameter_ratio=smallest, forms=("tt",), initializer="spectral")
    assert plan.parameter_ratio <= smallest and plan.ranks.get("7") is None
    assert set(plan.forms.values()) == {"tt"}


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"forms": ()}, "`forms` must be one or more"),
        ({"forms": ("matrix", "svd")}, "`forms` must be one or more"),
        ({"forms": ("tucker",), "method": "energy"}, "`method` must be optimal"),
    ],
)
def test_forms_that_there_are_not_are_refused(kernels, choices, said):
    with pytest.raises(ValueError, match=said):
        lr.allocate(kernels, parameter_ratio=0.5, **choices)


def test_a_budget_of_time_measures_the_forms(kernels):
    network = Allocator.of(kernels, initializer="spectral", forms=("matrix", "tucker"), example_input=EXAMPLE)
    ranks = network.menus["2", "tucker"].ranks
    [layer] = [layer for layer in network.layers if layer.name == "2"]
    times = network.latency.in_form(layer, "tucker", ranks)
    assert len(times) == len(ranks) and (times > 0).all()
    assert network.latency.in_form(layer, "tucker", ranks) is times  # measured once
    assert network.plan("latency_ratio", 1.0).error == 0


def test_inputs_decide_what_tucker_loses(kernels):
    batches = [torch.randn(8, 3, *SIZE).cumsum(-1) for _ in range(3)]
    plan = lr.allocate(kernels, parameter_ratio=0.5, forms=("tucker",), loader=batches, weights="plain")
    assert plan.initializer == "whitened" and plan.inputs == "your inputs" and "tucker" in plan.forms.values()
    small = lr.factorize(kernels, plan=plan, loader=batches)
    assert isinstance(small[2], TuckerConv2d) and torch.isfinite(small(batches[0])).all()


def test_a_training_takes_a_plan_with_forms(tmp_path):
    from lrexplore.models.cifar_resnet import cifar_resnet
    from lrexplore.recipes import configure

    torch.manual_seed(0)
    plan = lr.allocate(
        cifar_resnet("resnet20").eval(), parameter_ratio=0.3, forms=("tucker",), initializer="spectral",
        pinned={"conv1": None, "fc": None, "layer1.0.conv1": 4},
    )  # fmt: skip
    assert set(plan.forms.values()) == {"matrix", "tucker"}
    plan.save(tmp_path / "plan.json")
    made = build_model(configure(model="resnet20", plan=str(tmp_path / "plan.json"), initializer="spectral"), 10)
    kinds = {name: type(module) for name, module in made.named_modules()}
    for name, form in plan.forms.items():
        assert kinds[name] is (FactorizedConv2d if form == "matrix" else CONVS[form])
    assert sum(p.numel() for p in made.parameters()) == plan.parameters[1]
