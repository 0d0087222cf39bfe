from pathlib import Path

import pytest
import torch
from training.runs import StopAfter, numbers, same_weights, tiny, weights

import lrexplore as lr
from lrexplore.nn import Factorized
from lrexplore.records.choices import choices
from lrexplore.records.schema import read_description
from lrexplore.training.built import network_of
from lrexplore.training.model import build_model
from lrexplore.training.run import run

WIDER = {"rank_scale": None, "steps": 3, "checkpoint_steps": 2, "spectra_steps": 1}


@pytest.mark.parametrize("kind", ["full", "deep", "wide"])
def test_an_overcomplete_run_begins_as_the_network_that_was_drawn(tmp_path, kind):
    config = tiny(tmp_path, "a", rank_scale=None, overcomplete=kind)
    torch.manual_seed(config.seed)
    drawn, wider = network_of(config, 2).eval(), build_model(config, 2).eval()
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in wider.parameters()) > 1.9 * sum(p.numel() for p in drawn.parameters())
    assert (wider(images) - drawn(images)).abs().max() <= 1e-5 * drawn(images).abs().max()


@pytest.mark.parametrize("decay", ["frobenius", "weight"])
@pytest.mark.parametrize("kind", ["full", "deep", "wide"])
def test_an_overcomplete_run_goes_on_bitwise_and_loads_as_the_ordinary_network(tmp_path, kind, decay):
    whole, parts = (tiny(tmp_path, name, overcomplete=kind, decay=decay, **WIDER) for name in ("a", "b"))
    assert run(whole) == "done"
    assert run(parts, should_stop=StopAfter(1)) == "stopped"
    assert run(parts) == "done"
    assert numbers(parts) == numbers(whole)
    assert same_weights(parts, whole)
    wider = build_model(whole, 2)
    wider.load_state_dict(weights(whole))
    ordinary = lr.load(Path(whole.runs, whole.name))
    assert not any(isinstance(module, Factorized) for module in ordinary.modules())
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert (wider.eval()(images) - ordinary(images)).abs().max() <= 1e-5 * ordinary(images).abs().max()
    spectra = lr.Run(tmp_path / "a").spectra()
    name = wider_layer(wider)
    last = spectra[(spectra["step"] == 3) & (spectra["layer"] == name)].iloc[0]
    values = torch.linalg.svdvals(ordinary.get_submodule(name).weight.detach().flatten(1).double())
    assert last["num_values"] == len(values)
    assert abs(last["singular_values"] - values.numpy()).max() <= 1e-5 * float(values[0])


def wider_layer(model):
    return next(name for name, module in model.named_modules() if isinstance(module, Factorized))


def test_frobenius_decay_of_a_run_is_that_of_the_product_and_weight_decay_that_of_every_factor(tmp_path):
    from lrexplore.datasets import Data
    from lrexplore.training.learner import Learner
    from lrexplore.training.processes import Processes

    for decay, expected in (("frobenius", 0.0), ("weight", 0.01)):
        config = tiny(tmp_path, decay, rank_scale=None, overcomplete="deep", decay=decay)
        model = build_model(config, 2)
        learner = Learner(model, config, Data.__new__(Data), Processes(0, 1, torch.device("cpu")))
        factors = {id(f) for m in model.modules() if isinstance(m, Factorized) for f in m.factor_parameters()}
        groups = [g for g in learner.optimizer.param_groups if {id(p) for p in g["params"]} & factors]
        assert [group["weight_decay"] for group in groups] == [expected]
        layer = model.get_submodule(wider_layer(model))
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        before = [factor.detach().clone() for factor in layer.factor_parameters()]
        penalty = layer.frobenius_penalty() / 2
        by_autograd = torch.autograd.grad(penalty, layer.factor_parameters())
        learner.optimizer.step()
        moved = [was - now.detach() for was, now in zip(before, layer.factor_parameters(), strict=True)]
        wanted = by_autograd if decay == "frobenius" else before
        for move, gradient in zip(moved, wanted, strict=True):
            assert (move - config.lr * 0.01 * gradient).abs().max() <= 1e-6


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"rank_scale": 0.5}, "`overcomplete` must be left out for low-rank layers"),
        ({"decay": "nuclear"}, "`decay` must be frobenius, weight or none for overcomplete layers"),
        ({"start": "x.pt"}, "`overcomplete` must be left out with a `start`"),
        ({"execution": "product"}, "`execution` must be left out for overcomplete layers"),
    ],
)
def test_choices_that_overcomplete_layers_do_not_have_are_refused(tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        tiny(tmp_path, "a", **{"rank_scale": None, "overcomplete": "deep", **more})


def test_overcomplete_runs_are_told_from_unfactorized_ones(tmp_path):
    made = []
    for kind, decay in ((None, "frobenius"), ("deep", "frobenius"), ("deep", "weight")):
        config = tiny(tmp_path, f"{kind}-{decay}", overcomplete=kind, decay=decay, rank_scale=None, steps=1)
        run(config)
        made.append(choices(read_description(tmp_path / config.name)))
    assert [one["decay"] for one in made] == ["weight", "frobenius", "weight"]
    assert [one["initializer"] for one in made] == ["unfactorized", "overcomplete, deep", "overcomplete, deep"]
