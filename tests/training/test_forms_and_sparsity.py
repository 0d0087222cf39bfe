import json
import multiprocessing
import socket

import pytest
import torch
from training.runs import StopAfter, numbers, run_as, same_weights, tiny, weights

import lrexplore as lr
from lrexplore.linalg.tensors import FORMS
from lrexplore.models.cifar_resnet import cifar_resnet
from lrexplore.network.pruning import METHODS
from lrexplore.nn.sparse import sparse_layers
from lrexplore.nn.tensor import CONVS
from lrexplore.recipes import configure
from lrexplore.recipes.config import FORM_NAMES, PRUNINGS, REWIRED, TENSOR_STARTS
from lrexplore.records import Reader
from lrexplore.training.chosen_ranks import candidates
from lrexplore.training.forms.first_masks import layer_shares, pruned
from lrexplore.training.forms.rewiring import Rewiring
from lrexplore.training.model import build_model
from lrexplore.training.run import run
from lrexplore.training.sweep import grid

WHOLE = {"rank_scale": None, "sparsity": 0.9}


def test_the_names_that_need_no_torch_are_those_of_the_package():
    assert FORM_NAMES == FORMS
    assert set(PRUNINGS) == {*METHODS, *REWIRED}


@pytest.mark.parametrize("form", CONVS)
@pytest.mark.parametrize("start", TENSOR_STARTS)
def test_a_form_keeps_about_the_share_of_parameters_that_was_asked_for(form, start):
    config = configure(model="resnet20", rank_ratio=0.1, form=form, initializer=start)
    whole = sum(parameter.numel() for parameter in cifar_resnet("resnet20").parameters())
    made = build_model(config, 10)
    assert sum(isinstance(module, CONVS[form]) for module in made.modules()) == 18
    assert made.training and type(made.conv1) is torch.nn.Conv2d
    kept = sum(parameter.numel() for parameter in made.parameters()) / whole
    assert kept == pytest.approx(0.1, abs=0.01)


def test_a_share_below_what_a_form_can_reach_says_the_smallest():
    with pytest.raises(
        ValueError, match=r"`rank_ratio` must be at least 0\.01432 for resnet20 in the form tt, got 0.01"
    ):
        build_model(configure(model="resnet20", rank_ratio=0.01, form="tt"), 10)


@pytest.mark.parametrize(
    ("choices", "field"),
    [
        ({"form": "svd", "rank_scale": 0.1}, "form"),
        ({"form": "tucker"}, "form"),
        ({"form": "tucker", "rank_scale": 0.1, "initializer": "function"}, "initializer"),
        ({"form": "tt", "rank_scale": 0.1, "decay": "nuclear"}, "decay"),
        ({"form": "tt", "rank_scale": 0.1, "execution": "fastest"}, "execution"),
        ({"sparsity": 1.0}, "sparsity"),
        ({"sparsity": 0.9, "rank_scale": 0.1}, "sparsity"),
        ({"sparsity": 0.9, "prune": "largest"}, "prune"),
        ({"prune": "rigl"}, "prune"),
        ({"sparsity": 0.9, "decay": "nuclear"}, "decay"),
        ({"sparsity": 0.9, "prune": "rigl", "ema": 0.9}, "ema"),
        ({"cutout": 0}, "cutout"),
        ({"model": "translation", "sparsity": 0.9}, "model"),
    ],
)
def test_choices_of_forms_and_zeros_that_make_no_sense_are_refused(choices, field):
    with pytest.raises(ValueError, match=rf"`{field}` must be .*, got .*\. .*\."):
        configure(**{"model": "resnet20", **choices})


@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.98])
def test_small_layers_stay_denser_and_the_number_of_weights_is_exact(sparsity):
    shapes = {layer.name: layer.weight_shape for layer in candidates(cifar_resnet("resnet20"), "all")}
    counts = layer_shares(shapes, sparsity)
    sizes = {name: torch.Size(shape).numel() for name, shape in shapes.items()}
    assert sum(counts.values()) == round((1 - sparsity) * sum(sizes.values()))
    assert all(1 <= counts[name] <= size for name, size in sizes.items())
    density = [counts[name] / sizes[name] for name in ("layer1.0.conv1", "layer2.1.conv1", "layer3.1.conv1")]
    assert density == sorted(density, reverse=True)


def rewired(method, num_steps=40, sparsity=0.8):
    """What a network learns by plain steps on one batch: its masks after each, with the optimizer."""
    config = configure(model="resnet20", sparsity=sparsity, prune=method, layers="all")
    torch.manual_seed(0)
    model = pruned(cifar_resnet("resnet20"), config)
    moves = Rewiring.of(model, config, num_steps)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    images, labels = torch.randn(8, 3, 8, 8), torch.arange(8)
    for step in range(num_steps):
        optimizer.zero_grad()
        moves.before_backward(step)
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        moves.after_backward(step, optimizer)
        optimizer.step()
        yield model, optimizer, step


@pytest.mark.parametrize("method", ["set", "rigl"])
def test_moving_masks_keep_the_number_of_weights_of_every_layer_and_zeros_stay_zero(method):
    before, places = None, set()
    for model, optimizer, _ in rewired(method):
        layers = sparse_layers(model)
        counts = {name: layer.num_kept for name, layer in layers.items()}
        before = before or counts
        assert counts == before
        for layer in layers.values():
            assert not layer.weight[~layer.mask].any()
            assert not optimizer.state[layer.weight]["momentum_buffer"][~layer.mask].any()
        places.add(tuple(layers["layer1.0.conv1"].mask.flatten().tolist()))
    assert len(places) > 5
    assert sum(before.values()) == round(0.2 * sum(layer.mask.numel() for layer in layers.values()))


def test_gradual_pruning_only_takes_away_and_ends_where_it_was_told_to():
    kept = []
    for model, _, step in rewired("gradual"):
        layers = sparse_layers(model).values()
        kept.append(sum(layer.num_kept for layer in layers))
        assert all(not layer.weight[~layer.mask].any() for layer in layers), step
    total = sum(layer.mask.numel() for layer in layers)
    assert kept == sorted(kept, reverse=True) and kept[0] > 0.9 * total
    assert kept[29] == kept[-1] == round(0.2 * total)


def test_rigl_grows_where_the_gradient_of_absent_weights_is_largest():
    config = configure(model="resnet20", sparsity=0.5, prune="rigl", layers="all")
    torch.manual_seed(0)
    model = pruned(torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3)), config)
    layer, x, labels = model[0], torch.randn(16, 6), torch.arange(16) % 3
    dense = torch.nn.Sequential(*(one.collapse() if hasattr(one, "mask") else one for one in model))
    torch.nn.functional.cross_entropy(dense(x), labels).backward()
    moves = Rewiring.of(model, config, 4)
    old = layer.mask.clone()
    moves.before_backward(0)
    torch.nn.functional.cross_entropy(model(x), labels).backward()
    moves.after_backward(0, torch.optim.SGD(model.parameters()))
    share = 0.15 * (1 + torch.cos(torch.tensor(torch.pi / 3)))
    moved = round(float(share) * int(old.sum()))
    absent = layer.mask & ~old
    smallest = dense[0].weight.abs().masked_fill(~old, torch.inf).flatten().topk(moved, largest=False).indices
    candidates_ = ~old
    candidates_.view(-1)[smallest] = True
    best = dense[0].weight.grad.abs().masked_fill(~candidates_, -1).flatten().topk(moved).indices
    expected = old.clone()
    expected.view(-1)[smallest] = False
    expected.view(-1)[best] = True
    assert moved >= 1 and layer.mask.equal(expected) and int(layer.mask.sum()) == int(old.sum()) and absent.sum() >= 0


@pytest.mark.parametrize(
    "choices",
    [
        {"form": "tucker"},
        {"form": "tt", "decay": "scaled"},
        {"form": "cp", "initializer": "independent", "decay": "weight"},
        *({**WHOLE, "prune": prune} for prune in PRUNINGS),
        {"cutout": 6},
    ],
    ids=["tucker", "tt", "cp", *PRUNINGS, "cutout"],
)
def test_a_resumed_run_of_another_form_or_with_zeros_equals_the_uninterrupted_one(tmp_path, choices):
    choices = {"steps": 5, "num_images": 32, "batch_size": 8, "checkpoint_steps": 1, **choices}
    whole, parts = tiny(tmp_path, "a", **choices), tiny(tmp_path, "b", **choices)
    assert run(whole) == "done"
    assert run(parts, should_stop=StopAfter(2)) == "stopped"
    assert run(parts) == "done"
    assert numbers(parts) == numbers(whole)
    assert same_weights(parts, whole)
    rows = numbers(whole)["layers"]
    assert len({row["layer"] for row in rows}) == 18 and all(row["frobenius_norm"] > 0 for row in rows)
    trained, state = lr.load(tmp_path / "a"), weights(whole)
    assert all(state[name].equal(value) for name, value in trained.state_dict().items())
    if "sparsity" in choices:
        layers = sparse_layers(trained).values()
        total = sum(layer.mask.numel() for layer in layers)
        kept = sum(layer.num_kept for layer in layers)
        assert kept == pytest.approx(round(0.1 * total), abs=9 * (choices["prune"] == "random"))
        described = json.loads((tmp_path / "a" / "run.json").read_text())
        assert described["num_parameters"] == sum(p.numel() for p in trained.parameters()) - total + kept
        assert all(not layer.weight[~layer.mask].any() for layer in layers)
    lr.save(trained, tmp_path / "a.safetensors", architecture="resnet20") if "cutout" not in choices else None


@pytest.mark.parametrize("prune", ["rigl", "snip"])
def test_two_processes_have_the_masks_and_the_numbers_of_one(tmp_path, prune):
    choices = {**WHOLE, "prune": prune, "micro_batch_size": 4, "batch_size": 8, "steps": 4, "num_images": 32}
    one, two = tiny(tmp_path, "one", **choices), tiny(tmp_path, "two", **choices)
    run(one)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=run_as, args=(index, 2, port, two)) for index in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    mine, theirs = weights(one), weights(two)
    masks = [name for name in mine if name.endswith("mask")]
    assert masks and all(mine[name].equal(theirs[name]) for name in masks)
    for name in mine:
        if "running" in name or "num_batches" in name:  # each process has those of its own images
            continue
        assert torch.allclose(mine[name].float(), theirs[name].float(), rtol=1e-4, atol=1e-5), name


def test_a_layer_that_is_cut_off_is_said(tmp_path):
    config = tiny(tmp_path, "cut", **{**WHOLE, "sparsity": 0.9999, "prune": "magnitude", "steps": 1})
    run(config)
    reader = Reader(tmp_path / "cut")
    reader.poll()
    events = reader.table("events")
    assert (events["event"] == "cut off").sum() >= 1 and events["layer"].dropna().str.startswith("layer").all()


def test_decay_scaled_by_the_share_of_parameters_decays_factors_by_so_much_less(tmp_path):
    from lrexplore.training.layer_norms import parameters_left

    model = build_model(configure(model="resnet20", rank_ratio=0.1, form="tucker"), 10)
    whole = sum(parameter.numel() for parameter in cifar_resnet("resnet20").parameters())
    assert parameters_left(model) == sum(parameter.numel() for parameter in model.parameters()) / whole
    assert parameters_left(cifar_resnet("resnet20")) == 1


def test_a_grid_of_forms_and_of_prunings_has_a_name_for_each_run():
    forms = grid(model="resnet20", rank_ratio=[0.1, 0.05], form=["matrix", "tucker", "tt"], initializer="spectral")
    prunings = grid(model="resnet20", sparsity=[0.9], prune=["rigl", "set"], decay="weight")
    assert len({config.name for config in [*forms, *prunings]}) == 8
    assert prunings[0].name == "resnet20-rigl-0.9-weight-seed0"


@pytest.mark.parametrize("cut", [{"sparsity": 0.8, "prune": "magnitude"}, {"form": "tucker", "rank_scale": 0.3}])
def test_a_run_that_starts_from_another_is_cut_to_the_form_and_resumes(tmp_path, cut):
    common = {"num_images": 32, "batch_size": 8, "checkpoint_steps": 1, "initializer": "rescaled"}
    whole = tiny(tmp_path, "whole", steps=2, **{**common, "rank_scale": None})
    run(whole)
    choices = {**common, "steps": 3, "rank_scale": None, "start": str(tmp_path / "whole"), **cut}
    once, parts = tiny(tmp_path, "once", **choices), tiny(tmp_path, "parts", **choices)
    run(once)
    assert run(parts, should_stop=StopAfter(4)) == "stopped"
    assert run(parts) == "done"
    assert same_weights(parts, once)
    trained, state = lr.load(tmp_path / "parts"), weights(once)
    assert all(state[name].equal(value) for name, value in trained.state_dict().items())
