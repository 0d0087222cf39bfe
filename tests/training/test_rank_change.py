import math
from pathlib import Path

import pytest
import torch
from torch import nn
from training.runs import StopAfter, numbers, same_weights, tiny, weights

import lrexplore as lr
from lrexplore.linalg import frobenius_error, matricize_spatial, stable_rank
from lrexplore.nn import FACTORIZED, factorized_layers
from lrexplore.optim import Lamb
from lrexplore.records import Reader
from lrexplore.training.model import build_model
from lrexplore.training.rank_change.carried_state import carry_state
from lrexplore.training.rank_change.fewer_directions import rank_within, ranks_within_budget
from lrexplore.training.rank_change.moved_layers import shrink, singular_values, switch
from lrexplore.training.run import run

CONV = {"groups 1, channel": (1, "channel"), "groups 2, channel": (2, "channel"), "groups 2, spatial": (2, "spatial")}
HOW = {
    "switch, then cuts": {
        "rank_change": "cuttlefish",
        "rank_scale": None,
        "rank_tolerance": 0.1,
        "scheme": "spatial",
        "lr": 0.3,
    },
    "fixed warm-up": {"rank_change": "pufferfish", "rank_scale": 0.2, "rank_warmup": 0.4},
    "tolerance": {"rank_change": "tolerance", "rank_scale": 0.4, "rank_tolerance": 0.1, "initializer": "independent"},
    "budget, adamw": {"rank_change": "budget", "rank_scale": 0.4, "rank_budget": 0.3, "optimizer": "adamw", "lr": 1e-3},
    "budget, average": {"rank_change": "budget", "rank_scale": 0.4, "rank_budget": 0.3, "ema": 0.7},
}


def rank_events(config):
    reader = Reader(Path(config.runs, config.name))
    reader.poll()
    columns = ("step", "layer", "old_rank", "new_rank")
    rows = [row for row in reader.rows("events") if row["event"] == "rank"]
    return [{key: None if row[key] != row[key] else row[key] for key in columns} for row in rows]


@pytest.fixture(params=CONV.values(), ids=CONV)
def conv(request):
    groups, scheme = request.param
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(8, 12, 3, groups=groups)).double(), scheme


def test_a_layer_switches_to_its_best_factors_and_is_cut_to_its_best_ones(conv):
    model, scheme = conv
    whole = model[0].weight.detach().clone()
    switch(model, "0", 3, scheme)
    best = sum(values[3:].square().sum() for values in singular_values(nn.Sequential(plain(model, whole))[0], scheme))
    assert ((model[0].weight - whole).square().sum() - best).abs() <= 1e-10
    before, values = model[0].weight.detach().clone(), singular_values(model[0], scheme)
    shrink(model[0], 2)
    assert model[0].rank == 2
    assert ((model[0].weight - before).square().sum() - values[:, 2:].square().sum()).abs() <= 1e-10
    left, right = model[0].factor_stacks()
    assert (left.mT @ left - right @ right.mT).abs().max() <= 1e-10  # balanced


def plain(model, weight):
    layer = model[0].collapse()
    layer.weight.data.copy_(weight)
    return layer


def test_sums_of_gradients_are_carried_to_what_the_new_factors_would_have_summed(conv):
    """Of a fixed linear loss <G, W>: the gradients of the new factors are those of the old ones, mapped."""
    model, scheme = conv
    direction = torch.randn_like(model[0].weight)

    def gradients():
        parameters = [p for name, p in model[0].named_parameters() if name != "bias"]
        return torch.autograd.grad((model[0].weight * direction).sum(), parameters)

    for change in (lambda: switch(model, "0", 4, scheme), lambda: shrink(model[0], 2)):
        old = gradients()
        moved = change()
        for one, before, after in zip(moved, old * 2 if len(old) == 1 else old, gradients(), strict=True):
            assert (one.carry(before) - after).abs().max() <= 1e-10


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW, Lamb])
def test_what_an_optimizer_remembers_comes_along_and_nothing_else_changes(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5))
    options = {"momentum": 0.9} if kind is torch.optim.SGD else {}

    def stepped(optimizer):
        optimizer.zero_grad()
        model(torch.ones(4, 8)).square().sum().backward()
        optimizer.step()
        return optimizer

    old = stepped(kind(model.parameters(), lr=0.01, **options))
    bias, state = model[0].bias, old.state[model[0].bias]
    for change in (lambda: switch(model, "0", 3, "channel"), lambda: shrink(model[0], 2)):
        moved = change()
        new = kind(model.parameters(), lr=0.01, **options)
        carry_state(old, new, moved)
        assert model[0].bias is bias and new.state[bias] is state
        for parameter in model.parameters():
            assert new.state[parameter].keys() == state.keys()
            for key, value in new.state[parameter].items():
                assert torch.isfinite(value).all() and (value.ndim == 0 or value.shape == parameter.shape)
                assert key not in ("exp_avg_sq",) or (value >= 0).all()
        old = stepped(new)


def test_the_rank_within_a_tolerance_is_the_smallest_that_loses_no_more():
    values = torch.tensor([[3.0, 2.0, 1.0, 0.1], [3.0, 2.0, 0.5, 0.0]], dtype=torch.float64)
    total = values.square().sum()
    for tolerance in (1e-6, 1e-3, 0.05, 0.4, 0.999):
        rank = rank_within(values, tolerance)
        assert values[:, rank:].square().sum() <= tolerance * total
        assert rank == 1 or values[:, rank - 1 :].square().sum() > tolerance * total
    assert rank_within(torch.full((1, 3), math.nan), 0.5) == 3


def test_a_budget_takes_the_directions_that_carry_least_for_their_cost_and_no_more_than_it_needs():
    values = {"wide": torch.tensor([[4.0, 1.0, 0.9]]), "thin": torch.tensor([[4.0, 1.0, 0.9]])}
    shapes = {"wide": (1, 50, 50), "thin": (1, 5, 5)}
    assert ranks_within_budget(values, shapes, 0) == {"wide": 3, "thin": 3}
    assert ranks_within_budget(values, shapes, 1) == {"wide": 2, "thin": 3}
    assert ranks_within_budget(values, shapes, 101) == {"wide": 1, "thin": 3}
    assert ranks_within_budget(values, shapes, 10**6) == {"wide": 1, "thin": 1}


@pytest.fixture(scope="module", params=HOW.values(), ids=HOW)
def changing(request, tmp_path_factory):
    choices = {"rank_change_steps": 2, **request.param}
    whole = tiny(tmp_path_factory.mktemp("changing"), "whole", **choices)
    assert run(whole) == "done"
    return whole, choices


def test_a_run_whose_ranks_change_goes_on_bitwise_wherever_it_was_stopped(changing, tmp_path):
    whole, choices = changing
    assert rank_events(whole)
    for questions in (1, 2, 3, 4):  # around a change, and in an evaluation
        parts = tiny(tmp_path, f"parts-{questions}", **choices)
        assert run(parts, should_stop=StopAfter(questions)) == "stopped"
        assert run(parts) == "done"
        assert numbers(parts) == numbers(whole)
        assert same_weights(parts, whole)
        assert rank_events(parts) == rank_events(whole)


def test_a_run_says_each_layers_old_and_new_rank_and_loads_as_it_ended(changing):
    whole, _ = changing
    folder = Path(whole.runs, whole.name)
    changes = lr.Run(folder).rank_changes()
    assert changes.columns.tolist() == ["step", "layer", "old_rank", "new_rank"]
    begun = {name: module.rank for name, module in factorized_layers(build_model(whole, 2)).items()}
    for row in changes.to_dict("records"):
        old = None if row["old_rank"] != row["old_rank"] else row["old_rank"]
        assert old == begun.get(row["layer"]) and row["new_rank"] < (old or 10**6)
        begun[row["layer"]] = row["new_rank"]
    network = lr.load(folder)
    assert {name: module.rank for name, module in factorized_layers(network).items()} == begun
    assert all(network.state_dict()[name].equal(value) for name, value in weights(whole).items()) or whole.ema


def test_a_run_that_switches_begins_as_the_unfactorized_one(tmp_path):
    plain = tiny(tmp_path, "plain", rank_scale=None, steps=4)
    other = tiny(tmp_path, "other", steps=4, rank_change="pufferfish", rank_scale=0.2, rank_warmup=0.5)
    run(plain), run(other)
    losses = [[row["loss"] for row in numbers(config)["steps"]] for config in (plain, other)]
    assert losses[0][:2] == losses[1][:2] and losses[0][2:] != losses[1][2:]
    assert {row["step"] for row in rank_events(other)} == {2}


def test_cuttlefish_takes_the_stable_rank_scaled_to_the_full_rank_at_first(tmp_path):
    choices = {"rank_scale": None, "scheme": "spatial", "lr": 0.3}
    config = tiny(tmp_path, "a", rank_change="cuttlefish", rank_warmup=0.5, **choices)
    run(config)
    until = tiny(tmp_path, "b", **choices)
    assert run(until, should_stop=StopAfter(2)) == "stopped"  # after three steps
    torch.manual_seed(config.seed)
    first, then = build_model(until, 2), build_model(until, 2)
    then.load_state_dict(weights(until))
    changes = {row["layer"]: row["new_rank"] for row in rank_events(config)}
    assert changes
    for name, rank in changes.items():
        matrices = [matricize_spatial(net.get_submodule(name).weight.detach().double()) for net in (first, then)]
        ranks = [stable_rank(torch.linalg.svdvals(matrix)) for matrix in matrices]
        assert rank == round(min(matrices[0].shape) * ranks[1] / ranks[0])


def test_a_budget_is_reached_by_the_time_it_was_given(tmp_path):
    config = tiny(tmp_path, "a", rank_change="budget", rank_scale=0.4, rank_budget=0.2, rank_change_steps=1, steps=4)
    run(config)
    full = sum(parameter.numel() for parameter in build_model(tiny(tmp_path, "b", rank_scale=None), 2).parameters())
    reader = Reader(Path(config.runs, config.name))
    reader.poll()
    counts = {row["step"]: row["num_parameters"] for row in reader.rows("events") if row.get("num_parameters")}
    assert list(counts) == [1, 2]
    assert counts[2] <= 0.2 * full < counts[1]


def test_what_a_cut_costs_is_no_more_than_the_tolerance(tmp_path):
    torch.manual_seed(0)
    config = tiny(tmp_path, "a", rank_scale=0.4, initializer="independent")
    for module in build_model(config, 2).modules():
        if isinstance(module, FACTORIZED):
            before = module.weight.detach().clone()
            shrink(module, rank_within(singular_values(module, "channel"), 0.05))
            with torch.no_grad():
                assert frobenius_error(before.flatten(1), module.factors()[0]) <= 0.05 + 1e-6


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"rank_tolerance": 0.1}, "`rank_tolerance` must be left out without a `rank_change`"),
        ({"rank_change": "budget"}, "`rank_budget` must be given where a budget decides"),
        ({"rank_change": "cuttlefish"}, '`rank_change` must be "cuttlefish" only without ranks'),
        ({"rank_change": "pufferfish", "rank_scale": None}, '`rank_change` must be "pufferfish" only with the ranks'),
        ({"rank_change": "pufferfish", "execution": "fastest"}, "`execution` must be another"),
        ({"rank_change": "tolerance", "rank_budget": 0.5}, "`rank_budget` must be left out"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(tmp_path, choices, message):
    with pytest.raises(ValueError, match=message):
        tiny(tmp_path, "a", **choices)


def test_a_cut_of_an_unfactorized_network_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(ValueError, match="`rank_change` must begin with low-rank layers.*Give rank_scale"):
        run(tiny(tmp_path, "a", rank_scale=None, rank_change="tolerance"))
