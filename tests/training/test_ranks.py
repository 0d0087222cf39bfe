import pytest
import torch

from lrexplore.models.cifar_others import vgg19_small, wide_resnet28_10
from lrexplore.models.cifar_resnet import cifar_resnet
from lrexplore.ranks import LayerPlan, RankPlan
from lrexplore.recipes.published import configure
from lrexplore.training.chosen_ranks import candidates, chosen_ranks, find_scale, parameter_ratio, rank_of
from lrexplore.training.model import build_model

NETWORKS = {
    "resnet32x2": lambda classes: cifar_resnet("resnet32x2", classes),
    "vgg19": vgg19_small,
    "wide resnet": wide_resnet28_10,
}
# Khodak et al. 2021, what its published code finds: network, classes, target -> scale, ratio.
FOUND = [
    ("resnet32x2", 10, 0.02, 0.008789, 0.020206),
    ("resnet32x2", 10, 0.05, 0.023926, 0.050242),
    ("resnet32x2", 10, 0.1, 0.047852, 0.100078),
    ("resnet32x2", 100, 0.02, 0.007324, 0.020722),
    ("resnet32x2", 100, 0.05, 0.021973, 0.049660),
    ("resnet32x2", 100, 0.1, 0.046875, 0.100862),
    ("resnet32x2", 200, 0.05, 0.020508, 0.050872),
    ("resnet32x2", 200, 0.1, 0.045410, 0.100948),
    ("resnet32x2", 200, 0.15, 0.069336, 0.149457),
    ("vgg19", 10, 0.02, 0.009277, 0.019847),
    ("vgg19", 10, 0.05, 0.023682, 0.049546),
    ("vgg19", 10, 0.1, 0.047607, 0.099656),
    ("vgg19", 100, 0.02, 0.008301, 0.020562),
    ("vgg19", 100, 0.05, 0.022705, 0.050239),
    ("vgg19", 100, 0.1, 0.046875, 0.100254),
    ("vgg19", 200, 0.02, 0.007080, 0.020387),
    ("vgg19", 200, 0.05, 0.021484, 0.049942),
    ("vgg19", 200, 0.1, 0.045898, 0.099895),
    ("wide resnet", 10, 0.01667, 0.00757, 0.016730),
    ("wide resnet", 10, 0.06667, 0.03198, 0.066751),
]
RATIOS = {
    20: (0.087, 0.237, 0.698, 2.08, 6.21, 18.6),
    32: (0.084, 0.231, 0.686, 2.04, 6.11, 18.3),
    56: (0.082, 0.228, 0.678, 2.02, 6.05, 18.1),
    110: (0.081, 0.226, 0.673, 2.01, 6.01, 18.0),
}


@pytest.fixture(scope="module")
def networks():
    made = {}

    def of(name, classes):
        if (name, classes) not in made:
            with torch.device("meta"):
                model = NETWORKS[name](classes)
            made[name, classes] = model, candidates(model, "inner")
        return made[name, classes]

    return of


@pytest.mark.parametrize(("name", "classes", "target", "scale", "ratio"), FOUND)
def test_bisection_finds_the_published_scale_and_ratio(networks, name, classes, target, scale, ratio):
    found = find_scale(*networks(name, classes), target, "spatial", "fnl")
    digits = 5 if name == "wide resnet" else 6
    assert (round(found[0], digits), round(found[1], 6)) == (scale, ratio)


@pytest.mark.parametrize(("target", "ranks"), [(0.1, {64: 9, 128: 18, 256: 37}), (0.02, {64: 2, 128: 3, 256: 7})])
def test_the_ranks_of_resnet32x2_are_the_published_ones(networks, target, ranks):
    model, layers = networks("resnet32x2", 10)
    scale, _ = find_scale(model, layers, target, "spatial", "fnl")
    for layer in layers:
        rank = rank_of(layer, scale, "spatial", "fnl")
        expected = ranks[layer.weight_shape[0]]
        if layer.kernel_size == (1, 1):
            expected = {0.1: {128: 6, 256: 12}, 0.02: {128: 1, 256: 2}}[target][layer.weight_shape[0]]
        assert rank == expected


@pytest.mark.parametrize("depth", RATIOS)
def test_the_thin_resnets_keep_the_published_fraction_at_every_scale(depth):
    with torch.device("meta"):
        model = cifar_resnet(f"resnet{depth}")
    layers = candidates(model, "inner")
    for scale, expected in zip((3**-3, 3**-2, 3**-1, 1, 3, 9), RATIOS[depth], strict=True):
        ratio = parameter_ratio(model, layers, scale, "spatial", "fnl")
        assert float(f"{ratio:.3g}" if expected >= 1 else f"{ratio:.3f}") == expected


def test_inner_layers_are_all_but_the_stem_and_the_classifier():
    names = [layer.name for layer in candidates(cifar_resnet("resnet20"), "inner")]
    assert len(names) == 18 and "conv1" not in names and "fc" not in names
    assert "conv1" in [layer.name for layer in candidates(cifar_resnet("resnet20"), "convolutions")]
    assert "fc" in [layer.name for layer in candidates(cifar_resnet("resnet20"), "all")]


def test_a_multiple_rounds_the_ranks_of_a_run():
    model = cifar_resnet("resnet20", 10)
    found = [chosen_ranks(model, configure(model="resnet20", rank_scale=0.4, rank_multiple=k))[0] for k in (1, 8)]
    assert [set(ranks.values()) for ranks in found] == [{6, 13, 26}, {8, 16, 24}]


def test_layers_that_would_not_save_parameters_stay_as_they_are():
    model = cifar_resnet("resnet20")
    ranks, _ = chosen_ranks(model, configure(model="resnet20", rank_scale=0.95, scheme="spatial"))
    assert ranks == {}


def plan_of(model, rank):
    layer = next(layer for layer in candidates(model, "inner") if layer.name == "layer1.0.conv1")
    part = LayerPlan(
        name=layer.name, weight_shape=layer.weight_shape, rank=rank, scheme="spatial",
        parameters_before=2304, parameters_after=96 * rank,
    )  # fmt: skip
    about = {"initializer": "function", "inputs": "Gaussian inputs", "method": "knapsack", "budget": ""}
    return RankPlan(layers=(part,), error=0.0, gap=None, parameters=(10_000, 10_000 - 2304 + 96 * rank), **about)


def test_a_plan_names_layers_ranks_and_schemes(tmp_path):
    model = cifar_resnet("resnet20")
    plan_of(model, 3).save(tmp_path / "plan.json")
    config = configure(model="resnet20", plan=str(tmp_path / "plan.json"))
    assert chosen_ranks(model, config) == ({"layer1.0.conv1": 3}, {"layer1.0.conv1": "spatial"})
    factorized = build_model(config, 10)
    assert factorized.layer1[0].conv1.rank == 3 and factorized.layer1[0].conv1.scheme == "spatial"


def test_a_plan_of_another_network_no_plan_and_no_file_are_refused(tmp_path):
    plan_of(cifar_resnet("resnet20"), 3).save(tmp_path / "plan.json")
    config = configure(model="resnet32x2", plan=str(tmp_path / "plan.json"))
    with pytest.raises(ValueError, match="`plan` must be one for this model"):
        chosen_ranks(cifar_resnet("resnet32x2"), config)
    (tmp_path / "plan.json").write_text("[]")
    with pytest.raises(ValueError, match="`plan` must be json written by"):
        chosen_ranks(cifar_resnet("resnet32x2"), config)
    with pytest.raises(FileNotFoundError, match="`plan` must be a file"):
        chosen_ranks(cifar_resnet("resnet20"), configure(model="resnet20", plan=str(tmp_path / "none")))
