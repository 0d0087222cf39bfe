import copy

import pytest
import torch
from torch import nn

import lrexplore as lr
from lrexplore.nn.tensor import CONVS, TrainLinear

SHAPES = {"9": ((5, 6), (6, 4))}


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 3, groups=2),
        nn.ReLU(), nn.Conv2d(24, 24, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 30),
    ).eval()  # fmt: skip


def images(seed=1):
    return torch.randn(6, 3, 10, 10, generator=torch.Generator().manual_seed(seed))


def options(form):
    return {"form": form, "rank_scale": 0.3, **({"shapes": SHAPES} if form == "tt" else {})}


@pytest.mark.parametrize("form", CONVS)
def test_a_model_is_factorized_collapsed_saved_and_loaded_in_every_form(form, tmp_path):
    model = network()
    small = lr.factorize(model, **options(form))
    assert isinstance(small[0], CONVS[form]) and isinstance(small[3], CONVS[form])
    assert isinstance(small[9], TrainLinear if form == "tt" else nn.Linear)
    out = small(images())
    assert torch.allclose(lr.collapse(small)(images()), out, atol=1e-5)
    lr.save(small, tmp_path / "small.safetensors")
    again = lr.load(tmp_path / "small.safetensors", network())
    assert torch.equal(again(images()), out)
    assert repr(again) == repr(small)
    assert repr(model) == repr(network())
    assert torch.equal(copy.deepcopy(small)(images()), out)


def test_a_known_architecture_comes_back_from_its_file_alone(tmp_path):
    small = lr.factorize(lr.load_model("resnet20"), form="tt", rank_scale=0.2, initializer="spectral")
    lr.save(small, tmp_path / "small.safetensors")
    x = torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        assert torch.equal(lr.load(tmp_path / "small.safetensors")(x), small(x))


@pytest.mark.parametrize("form", CONVS)
def test_the_report_counts_parameters_and_multiply_adds_of_what_is_there(form):
    model = network()
    small = lr.factorize(model, **options(form))
    table = lr.report(small).set_index("name")
    for name, module in (("0", small[0]), ("3", small[3]), ("5", small[5]), ("9", small[9])):
        assert table.loc[name, "parameters_after"] == sum(p.numel() for p in module.parameters())
        assert table.loc[name, "parameters_before"] == sum(p.numel() for p in model.get_submodule(name).parameters())
    assert table.loc["5", "reason"].startswith("its kernel is 1 x 1, a matrix")
    rows = lr.compare(model, small, [images()], latency_rounds=0)
    assert rows.loc["parameters", "factorized"] == sum(p.numel() for p in small.parameters())
    assert rows.loc["MFLOP", "factorized"] < rows.loc["MFLOP", "original"]
    pair = lr.report(lr.factorize(model, rank_scale=0.25)).set_index("name")
    assert (table.flops_before == pair.flops_before).all() and (pair.flops_after <= pair.flops_before).all()
    assert set(table.form) == {form} and set(pair.form) == {"matrix"}


def test_ranks_by_name_replace_these_layers_only_and_say_where_they_cost_more():
    small = lr.factorize(network(), form="tucker", ranks={"3": (8, 12)})
    assert isinstance(small[0], nn.Conv2d) and small[3].ranks == (8, 12)
    reasons = lr.report(small).set_index("name").reason
    assert reasons["0"] == "not chosen" and reasons["3"].startswith("costs more: ")
    assert torch.allclose(small(images()), network()(images()), atol=1e-4)


def test_inputs_make_tucker_whitened_by_default_and_correct_what_they_move():
    model = network()
    held = [images(5) * torch.linspace(0.1, 2, 10) + 1]
    fit = [images(seed) * torch.linspace(0.1, 2, 10) + 1 for seed in range(8)]
    ranks = {"3": (3, 4)}
    divergence = {}
    for name in ("spectral", None):
        small = lr.factorize(model, form="tucker", ranks=ranks, initializer=name, loader=fit)
        divergence[name] = float(lr.compare(model, small, held, latency_rounds=0).loc["KL divergence", "compared"])
    assert divergence[None] < divergence["spectral"]
    assert "shrinkage" in lr.report(small).reason[1] or lr.report(small).reason[1] == ""


@pytest.mark.parametrize("form", CONVS)
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_frobenius_decay_moves_every_factor_of_a_tensor_and_by_what_autograd_says(form, optimizer):
    # The decay published for tensors was added to the loss after backward and moved nothing (fnl's code, 2021).
    small = lr.factorize(network(), **options(form)).double()
    twin = copy.deepcopy(small)
    groups = lr.parameter_groups(small, decay="frobenius", decay_strength=1e-2, decay_norms=False)
    by_name = {group["name"]: {id(p) for p in group["params"]} for group in groups}
    layers = [module for module in small.modules() if isinstance(module, lr.nn.Factorized)]
    assert {id(factor) for layer in layers for factor in layer.factor_parameters()} == by_name["factors"]
    stepped = optimizer(groups, lr=0.1)
    lr.FrobeniusDecay(small, 1e-2).attach(stepped)
    for parameter in small.parameters():
        parameter.grad = torch.zeros_like(parameter)  # all that moves is decay
    before = [[factor.detach().clone() for factor in layer.factor_parameters()] for layer in layers]
    stepped.step()
    others = [module for module in twin.modules() if isinstance(module, lr.nn.Factorized)]
    for layer, other, were in zip(layers, others, before, strict=True):
        half = 1e-2 * other.weight.square().sum() / 2
        gradients = torch.autograd.grad(half, other.factor_parameters())
        for factor, gradient, was in zip(layer.factor_parameters(), gradients, were, strict=True):
            assert float(gradient.abs().max()) > 0
            assert torch.allclose(was - factor, 0.1 * gradient, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    "given, said",
    [
        ({"form": "tucker"}, "One of `rank_scale` and `ranks` must be given"),
        ({"form": "tucker", "ranks": {"33": (2, 2)}}, "`ranks` must name layers of the model, got '33'"),
        ({"form": "tucker", "ranks": {"5": (2, 2)}}, "got '5': its kernel is 1 x 1, a matrix"),
        ({"form": "tucker", "ranks": {"3": (99, 2)}}, "`ranks` of layer '3': `ranks` must lie in"),
        ({"form": "tt", "ranks": {"9": (2,)}}, "got '9': a matrix, of which the form tt"),
        ({"form": "tt", "rank_scale": 0.2, "shapes": {"3": ((2, 6), (2, 4))}}, "`shapes` must name linear layers"),
        ({"form": "cp", "rank_scale": 0.2, "shapes": SHAPES}, "`shapes` must name linear layers, for the form tt"),
        ({"form": "tt", "rank_scale": 0.2, "shapes": {"9": ((5, 5), (6, 4))}}, "`shape` must be two lists"),
        ({"form": "tucker", "rank_scale": 0.2, "rank_multiple": 8}, "`plan`, `rank_multiple` and `scheme` must"),
        ({"form": "tucker", "rank_scale": 0.2, "initializer": "whitened"}, "`calibration` must be given"),
        ({"form": "cp", "rank_scale": 0.2, "initializer": "sampled"}, "`initializer` must be one of independent"),
        ({"rank_scale": 0.2, "shapes": SHAPES}, "`shapes` must be left out for the form matrix"),
        ({"form": 3, "rank_scale": 0.2}, "`form` must be one of matrix, tucker, tt, cp, got 3"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_anything_is_computed(given, said):
    with pytest.raises((ValueError, TypeError), match=said):
        lr.factorize(network(), **given)


def test_a_file_that_names_another_form_is_refused(tmp_path):
    import json

    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "small.safetensors"
    lr.save(lr.factorize(network(), form="cp", rank_scale=0.2), path)
    with safe_open(path, "pt") as opened:
        [(key, text)] = opened.metadata().items()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    about = json.loads(text)
    for change in ({"form": "pc"}, {"ranks": [0]}, {"ranks": [3.5]}):
        other = copy.deepcopy(about)
        other["layers"]["3"] |= change
        save_file(tensors, path, {key: json.dumps(other)})
        with pytest.raises(ValueError, match="`path` must"):
            lr.load(path, network())
