import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lrexplore as lr
from lrexplore.network.pruning import METHODS
from lrexplore.nn import Conv2dSame
from lrexplore.nn.sparse import SparseConv2d, SparseLinear, sparse_layers


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 24, 3, groups=2), nn.ReLU(), nn.Dropout(0.5),
        nn.Conv2d(24, 24, 3, groups=24), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5),
    ).eval()  # fmt: skip


PRUNED = ["0", "3", "6", "9"]


def batches(num=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(8, 3, 10, 10, generator=generator).to(dtype), torch.arange(8) % 5) for _ in range(num)]


def masks_of(model):
    return {name: layer.mask for name, layer in sparse_layers(model).items()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
def test_exactly_so_many_weights_are_zero_and_the_model_itself_is_untouched(method, scope, sparsity):
    model = network()
    before = copy.deepcopy(model.state_dict())
    small = lr.prune(model, sparsity=sparsity, method=method, scope=scope, loader=batches())
    sizes = {name: model.get_submodule(name).weight.numel() for name in PRUNED}
    kept = {name: int(mask.sum()) for name, mask in masks_of(small).items()}
    assert list(kept) == PRUNED
    if scope == "layer":
        assert kept == {name: round((1 - sparsity) * size) for name, size in sizes.items()}
    assert sum(kept.values()) == pytest.approx(round((1 - sparsity) * sum(sizes.values())), abs=2 * (scope == "layer"))
    for name, layer in sparse_layers(small).items():
        assert torch.equal(layer.weight, model.get_submodule(name).weight * layer.mask)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not model.training and repr(model) == repr(network())


def test_magnitude_keeps_the_largest_weights():
    model = network()
    everything = torch.cat([model.get_submodule(name).weight.detach().flatten().abs() for name in PRUNED])
    small = lr.prune(model, sparsity=0.7)
    threshold = everything.sort().values[round(0.7 * len(everything))]
    for name, mask in masks_of(small).items():
        assert torch.equal(mask, model.get_submodule(name).weight.abs() >= threshold)


def _straight(loss_of, weights, scope, sparsity, scores_of):
    """Masks by scores that are worked out in one sum over all batches."""
    scores = scores_of(loss_of, weights)
    groups = [weights] if scope == "global" else [{name: weight} for name, weight in weights.items()]
    masks = {}
    for group in groups:
        flat = torch.cat([scores[name].flatten() for name in group])
        threshold = flat.sort(descending=True).values[round((1 - sparsity) * len(flat)) - 1]
        masks |= {name: scores[name] >= threshold for name in group}
    return masks


def _losses(temperature):
    """A function of the weights: the summed loss as the network trains, batch norms by the batch, without dropout."""
    model = network().double().train()
    model[5].eval()
    weights = {name: model.get_submodule(name).weight.detach().clone() for name in PRUNED}

    def loss_of(values):
        named = {f"{name}.weight": value for name, value in values.items()}
        outs = [(torch.func.functional_call(model, named, (x,)), y) for x, y in batches(dtype=torch.float64)]
        return sum(F.cross_entropy(out / temperature, y, reduction="sum") for out, y in outs)

    return loss_of, weights


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("sparsity", [0.5, 0.9])
def test_snip_equals_the_gradient_in_gates_on_the_weights(scope, sparsity):
    def scores(loss_of, weights):
        gates = {name: torch.ones_like(weight).requires_grad_() for name, weight in weights.items()}
        loss = loss_of({name: gates[name] * weight for name, weight in weights.items()})
        return dict(zip(gates, (g.abs() for g in torch.autograd.grad(loss, list(gates.values()))), strict=True))

    wanted = _straight(*_losses(1.0), scope, sparsity, scores)
    small = lr.prune(
        network().double(), sparsity=sparsity, method="snip", scope=scope, loader=batches(dtype=torch.float64)
    )
    assert all(torch.equal(mask, wanted[name]) for name, mask in masks_of(small).items())


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("sparsity", [0.5, 0.9])
def test_grasp_equals_differences_of_gradients_along_the_gradient(scope, sparsity):
    def gradient(loss_of, weights):
        free = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        return torch.autograd.grad(loss_of(free), list(free.values()))

    def scores(loss_of, weights):
        flow, step = dict(zip(weights, gradient(loss_of, weights), strict=True)), 1e-4
        ends = [
            gradient(loss_of, {name: weight + sign * step * flow[name] for name, weight in weights.items()})
            for sign in (1, -1)
        ]
        curved = [(above - below) / (2 * step) for above, below in zip(*ends, strict=True)]
        return {name: weight * product for (name, weight), product in zip(weights.items(), curved, strict=True)}

    wanted = _straight(*_losses(200.0), scope, sparsity, scores)
    small = lr.prune(
        network().double(), sparsity=sparsity, method="grasp", scope=scope, loader=batches(dtype=torch.float64)
    )
    assert all(torch.equal(mask, wanted[name]) for name, mask in masks_of(small).items())


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9),
        lambda groups: torch.optim.AdamW(groups, lr=0.01),
    ],
    ids=["SGD with momentum", "AdamW"],
)
def test_masked_weights_are_exactly_zero_through_training(optimizer):
    small = lr.prune(network(), sparsity=0.8).train()
    masks = copy.deepcopy(masks_of(small))
    stepping = optimizer(lr.parameter_groups(small, decay="weight", decay_strength=1e-2, decay_norms=True))
    before = {name: layer.weight.detach().clone() for name, layer in sparse_layers(small).items()}
    for x, y in batches(6):
        stepping.zero_grad()
        F.cross_entropy(small(x), y).backward()
        stepping.step()
    for name, layer in sparse_layers(small).items():
        assert torch.equal(layer.mask, masks[name])
        assert not layer.weight[~layer.mask].any()
        assert not torch.equal(layer.weight, before[name])


def test_pruning_again_prunes_on_and_never_brings_back():
    first = lr.prune(network(), sparsity=0.5)
    second = lr.prune(first, sparsity=0.8, method="random")
    for name, mask in masks_of(second).items():
        assert not (mask & ~masks_of(first)[name]).any()
    total = sum(mask.numel() for mask in masks_of(first).values())
    assert sum(int(mask.sum()) for mask in masks_of(second).values()) == round(0.2 * total)
    with pytest.raises(ValueError, match="`sparsity` must be at least 0.8"):
        lr.prune(second, sparsity=0.6)


def test_a_layer_that_is_cut_off_is_warned_of_and_named():
    model = network()
    with torch.no_grad():
        model[3].weight *= 1e-6
    with pytest.warns(UserWarning, match="No weight is left in 1 of 4 layers, `3`"):
        small = lr.prune(model, sparsity=0.8)
    table = lr.report(small).set_index("name")
    assert table.loc["3", "reason"] == "cut off: no weight is left" and table.loc["3", "non_zeros"] == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_layer = lr.prune(model, sparsity=0.8, scope="layer")
    assert (lr.report(by_layer).reason == "").all()


def test_the_report_counts_non_zeros_and_bytes_with_indices():
    small = lr.prune(network(), sparsity=0.75)
    table = lr.report(small).set_index("name")
    for name, mask in masks_of(small).items():
        row, kept = table.loc[name], int(mask.sum())
        stored = small.get_submodule(name).weight.detach()
        csr = stored.flatten(1).to_sparse_csr()
        assert row.non_zeros == kept and row.weights == mask.numel() and row.density == kept / mask.numel()
        assert row.dead_outputs == int((stored.flatten(1) == 0).all(1).sum())
        assert row.bytes_before == mask.numel() * 4
        assert row.bytes_bit_mask == 4 * kept + -(-mask.numel() // 8)
        assert row.bytes_indices == 4 * (len(csr.values()) + len(csr.col_indices()) + len(csr.crow_indices()))
        assert row.flops_after == row.flops_before * kept // mask.numel()
    compared = lr.compare(network(), small, [batches()[0][0]], latency_rounds=0)
    zeros = sum(int((~mask).sum()) for mask in masks_of(small).values())
    assert compared.loc["parameters", "original"] - compared.loc["parameters", "factorized"] == zeros
    assert compared.loc["MFLOP", "compared"] == 1  # common devices multiply by the zeros too


def test_a_pruned_network_is_saved_loaded_copied_and_made_ordinary(tmp_path):
    small = lr.prune(network(), sparsity=0.6)
    x = batches()[0][0]
    lr.save(small, tmp_path / "small.safetensors")
    again = lr.load(tmp_path / "small.safetensors", network())
    assert torch.equal(again(x), small(x)) and repr(again) == repr(small)
    assert all(torch.equal(mask, masks_of(again)[name]) for name, mask in masks_of(small).items())
    ordinary = lr.collapse(small)
    assert torch.equal(ordinary(x), small(x)) and repr(ordinary) == repr(network())
    assert torch.equal(copy.deepcopy(small)(x), small(x))
    assert isinstance(lr.factorize(ordinary, rank_scale=0.3)[3], lr.FactorizedConv2d)
    with pytest.raises(ValueError, match="pruned: factors of its weight would not have its zeros"):
        lr.factorize(small, rank_scale=0.3)


def test_a_known_architecture_comes_back_from_its_file_alone(tmp_path):
    small = lr.prune(lr.load_model("resnet20"), sparsity=0.9)
    lr.save(small, tmp_path / "small.safetensors")
    x = torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        assert torch.equal(lr.load(tmp_path / "small.safetensors")(x), small.eval()(x))


def test_tensorflows_padding_options_and_frozen_weights_are_kept():
    torch.manual_seed(0)
    model = nn.Sequential(
        Conv2dSame(4, 6, 3, stride=2), nn.Conv2d(6, 8, 3, padding=1, padding_mode="circular", dilation=2)
    )
    model[1].requires_grad_(False)
    x = torch.randn(2, 4, 11, 13)
    masks = {name: torch.ones_like(model.get_submodule(name).weight, dtype=torch.bool) for name in ("0", "1")}
    small = lr.prune(model, masks=masks)
    assert torch.equal(small(x), model(x))
    assert isinstance(lr.collapse(small)[0], Conv2dSame)
    assert small[0].weight.requires_grad and not small[1].weight.requires_grad


def test_masks_of_a_trained_network_start_another_of_its_architecture():
    found = masks_of(lr.prune(network(), sparsity=0.9))
    torch.manual_seed(5)
    fresh = network().apply(lambda module: module.reset_parameters() if hasattr(module, "reset_parameters") else None)
    small = lr.prune(fresh, masks=found)
    assert all(torch.equal(mask, found[name]) for name, mask in masks_of(small).items())
    assert isinstance(small[0], SparseConv2d) and isinstance(small[9], SparseLinear)
    assert torch.equal(small[9].weight, fresh[9].weight * found["9"])


NAN = [(torch.full((8, 3, 10, 10), torch.nan), torch.arange(8) % 5)]


@pytest.mark.parametrize(
    "given, said",
    [
        ({"sparsity": 1.0}, "`sparsity` must be a share above 0 and below 1, which would leave nothing, got 1.0"),
        ({"sparsity": 0}, "`sparsity` must be a share above 0"),
        ({"sparsity": True}, "`sparsity` must be a share"),
        ({"sparsity": 0.99999}, "`sparsity` must leave a weight of the 2496 in 4 layers"),
        ({"sparsity": 0.997, "scope": "layer"}, "`sparsity` must leave a weight of the 120 in `9`"),
        ({}, "One of `sparsity` and `masks` must be given, got neither"),
        ({"sparsity": 0.5, "masks": {}}, "One of `sparsity` and `masks` must be given, got both"),
        ({"sparsity": 0.5, "method": "slim"}, "`method` must be one of magnitude, snip, grasp, random"),
        ({"sparsity": 0.5, "scope": "all"}, "`scope` must be one of global, layer"),
        ({"sparsity": 0.5, "method": "snip"}, "`loader` must be given for the method 'snip'"),
        ({"sparsity": 0.5, "method": "snip", "loader": [batches()[0][0]]}, "`loader` must give labels for this method"),
        ({"sparsity": 0.5, "method": "grasp", "loader": NAN}, "`loader` must give"),
        ({"sparsity": 0.5, "layers": ["77"]}, "`layers` must name layers of the model, got '77'"),
        ({"masks": {"77": torch.ones(3)}}, "`masks` must name layers of the model, got '77'"),
        ({"masks": {"0": torch.ones(16, 3, 5, 5)}}, "`masks` must be those of a network like this one, got the shape"),
        ({"masks": {"0": 3}}, "`masks` must be those of a network like this one, got a int"),
        ({"masks": {"0": torch.full((16, 3, 3, 3), 0.5)}}, "`masks` must be True or False"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(given, said):
    with pytest.raises((ValueError, TypeError), match=said):
        lr.prune(network(), **given)


def test_models_without_a_weight_to_prune_are_refused():
    with pytest.raises(ValueError, match="`model` must have a linear layer or convolution to prune"):
        lr.prune(nn.Sequential(nn.ReLU()), sparsity=0.5)
    with pytest.raises(TypeError, match="`model` must be an nn.Module"):
        lr.prune(3, sparsity=0.5)
