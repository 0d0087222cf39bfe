import pytest
import torch
import torchvision

from lrexplore.models.cifar_others import vgg19_small, wide_resnet28_10
from lrexplore.models.cifar_resnet import CIFAR_RESNETS, Subsample, cifar_resnet
from lrexplore.models.efficientnet import efficientnet, scaled_efficientnet


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "num_classes", "expected"),
    [
        ("resnet20", 10, 269_722),
        ("resnet32", 10, 464_154),
        ("resnet56", 10, 853_018),
        ("resnet110", 10, 1_727_962),
        ("resnet20", 100, 275_572),
        ("resnet32", 100, 470_004),
        ("resnet56", 100, 858_868),
        ("resnet110", 100, 1_733_812),
        ("resnet32x2", 10, 7_427_914),
        ("resnet32x2", 100, 7_451_044),
        ("resnet32x2", 200, 7_476_744),
    ],
)
def test_parameter_counts_are_those_of_khodak_et_al(name, num_classes, expected):
    with torch.device("meta"):
        assert count(cifar_resnet(name, num_classes)) == expected


@pytest.mark.parametrize(
    ("make", "num_classes", "expected"),
    [
        (vgg19_small, 10, 20_035_018),
        (vgg19_small, 100, 20_081_188),
        (vgg19_small, 200, 20_132_488),
        (wide_resnet28_10, 10, 36_479_194),
    ],
)
def test_parameter_counts_of_the_compared_networks_are_those_of_khodak_et_al(make, num_classes, expected):
    with torch.device("meta"):
        assert count(make(num_classes)) == expected


@pytest.mark.parametrize("name", CIFAR_RESNETS)
@pytest.mark.parametrize("size", [28, 32])
def test_images_of_28_and_32_pixels_give_logits(name, size):
    with torch.device("meta"):
        assert cifar_resnet(name, 7).eval()(torch.empty(2, 3, size, size)).shape == (2, 7)


def test_the_depth_in_the_name_counts_convolutions_and_the_classifier():
    for name in ("resnet20", "resnet44", "resnet110"):
        layers = [m for m in cifar_resnet(name).modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
        assert len(layers) == int(name.removeprefix("resnet"))


def test_the_shortcut_without_parameters_takes_every_second_pixel_and_adds_zero_channels():
    x = torch.randn(2, 4, 6, 6)
    out = Subsample(4, 2)(x)
    assert out.shape == (2, 8, 3, 3)
    assert out[:, 2:6].equal(x[:, :, ::2, ::2])
    assert not out[:, :2].any() and not out[:, 6:].any()


def test_an_unknown_depth_is_refused():
    with pytest.raises(ValueError, match="`name` must be one of resnet20"):
        cifar_resnet("resnet21")


@pytest.mark.parametrize(("name", "width", "depth"), [("b0", 1.0, 1.0), ("b3", 1.2, 1.4), ("b7", 2.0, 3.1)])
def test_scaling_efficientnet_b0_gives_torchvisions_efficientnets(name, width, depth):
    with torch.device("meta"):
        theirs = torchvision.models.get_model(f"efficientnet_{name}").state_dict()
        ours = efficientnet(width, depth).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


def test_the_small_efficientnet_halves_images_of_28_pixels_three_times():
    network = scaled_efficientnet("efficientnet_small", 10).eval()
    assert network.features(torch.zeros(1, 3, 28, 28)).shape[2:] == (4, 4)
    assert network(torch.zeros(1, 3, 28, 28)).shape == (1, 10)


def test_b9_is_wider_and_deeper_than_b7():
    with torch.device("meta"):
        b7, b9 = torchvision.models.efficientnet_b7(), scaled_efficientnet("efficientnet_b9")
    assert count(b9) > 2 * count(b7)
    assert len(b9.features[6]) == 13 and b9.features[6][0].block[-1][0].out_channels == 576
