import pytest
import torch

from lrexplore.models.architectures import LITE0, build, by_popularity, known_names, names, nearest, signature


def test_every_torchvision_classification_model_has_a_name():
    import torchvision

    assert set(torchvision.models.list_models(module=torchvision.models)) == set(names()) - {LITE0}


@pytest.mark.parametrize(
    "name", ["resnet18", "googlenet", "regnet_x_400mf", "swin_t", "squeezenet1_1", LITE0, "resnet20"]
)
def test_a_signature_is_the_state_dict_of_the_built_model_up_to_the_number_of_classes(name):
    state = build(name, num_classes=3).state_dict()
    expected = {key: tuple(value.shape) for key, value in state.items() if "num_batches" not in key}
    assert {k: tuple(3 if size is None else size for size in shape) for k, shape in signature(name).items()} == expected


def test_no_two_architectures_share_a_signature():
    assert len({frozenset(signature(name).items()) for name in known_names()}) == len(known_names())


@pytest.mark.parametrize("name", known_names())
def test_every_architecture_has_a_class_axis(name):
    assert any(None in shape for shape in signature(name).values())


def test_resnets_and_efficientnets_are_tried_first():
    order = by_popularity()
    assert sorted(order) == known_names()
    assert order[0].startswith("resnet")
    assert max(i for i, n in enumerate(order) if n.startswith("efficientnet")) < order.index("alexnet")


def test_a_misspelled_name_has_the_intended_one_among_the_nearest():
    assert "resnet50" in nearest("ResNet-50", names())
    assert nearest("qqqqqqqq", names()) == []


def test_random_initialization_follows_torchs_seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = build("resnet18")
        torch.manual_seed(0)
        assert torch.equal(first.conv1.weight, build("resnet18").conv1.weight)


def test_auxiliary_classifiers_are_left_out():
    assert not any(key.startswith(("aux", "AuxLogits")) for n in ("googlenet", "inception_v3") for key in signature(n))
