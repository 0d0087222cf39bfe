"""Sample inputs: whose they are, that none is used twice, and what is said where there are none."""

import sys

import numpy as np
import pytest
import torch
from explorer.networks import linear_network, small_network
from explorer.whole_network import batches
from torchvision import models

from lrexplore.explorer.real_inputs import RealInputs
from lrexplore.explorer.samples import PHOTOGRAPHS, YOUR_LOADER, Origin


def test_inputs_of_a_loader_are_for_calibrating_or_for_judging_never_both():
    samples = Origin(loader=[(batch, torch.zeros(len(batch))) for batch in batches()]).samples(small_network())
    fit, judged = torch.cat(samples.fit), torch.cat(samples.judged)
    assert len(fit) + len(judged) == 24
    assert samples.num_judged == len(judged) == 6
    both = torch.cat([fit, judged]).flatten(1)
    assert len(torch.unique(both, dim=0)) == 24
    assert samples.source == YOUR_LOADER


def test_a_long_loader_calibrates_on_as_many_as_before_and_judges_by_up_to_128():
    inputs = torch.randn(300, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    samples = Origin(loader=inputs.split(50)).samples(small_network())
    fit, judged = torch.cat(samples.fit), torch.cat(samples.judged)
    assert (len(fit), len(judged), samples.num_judged) == (96, 128, 128)
    assert torch.equal(judged[:32], inputs[1:128:4])
    assert len(torch.unique(torch.cat([fit, judged]).flatten(1), dim=0)) == 224
    assert [len(batch) for batch in samples.judged] == [8] * 16


def test_pictures_are_the_judged_inputs_stretched_to_their_own_range():
    samples = Origin(loader=batches()).samples(small_network())
    assert samples.pictures.shape == (6, 12, 12, 3)
    assert samples.pictures.dtype == np.uint8
    assert (samples.pictures.min((1, 2, 3)) == 0).all()
    assert (samples.pictures.max((1, 2, 3)) == 255).all()


def test_inputs_that_are_no_images_have_no_pictures():
    loader = [torch.randn(8, 16, generator=torch.Generator().manual_seed(0))]
    assert Origin(loader=loader).samples(linear_network()).pictures is None


def test_photographs_are_the_default_for_a_network_that_takes_them():
    samples = Origin().samples(small_network())
    assert samples.source == PHOTOGRAPHS
    assert samples.first_judged.shape == (8, 3, 224, 224)
    assert len(samples.pictures) == 16
    assert samples.num_judged == sum(len(batch) for batch in samples.judged) == 128


def test_a_network_that_takes_no_photographs_asks_for_a_loader():
    with pytest.raises(ValueError, match=r"`loader` must be given for this network, got none"):
        Origin().samples(linear_network())


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ([], "`loader` must give at least one batch"),
        ([torch.zeros(1, 3, 8, 8)], "`loader` must give two inputs or more, got 1"),
        ([torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 9, 9)], "tensors of one shape"),
        ([{"x": torch.zeros(2, 3, 8, 8)}], "tensors of one shape for the Network tab, got dict"),
        ([torch.zeros(4, 5, 8, 8)], "`loader` must give batches that the model takes"),
        ([torch.zeros(4, 3, 8, 8, device="meta")], "`loader` must give tensors that hold values"),
    ],
)
def test_a_loader_that_cannot_be_used_is_refused_with_the_way_out(loader, message):
    with pytest.raises(ValueError, match=message):
        Origin(loader=loader).samples(small_network())


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    from lrexplore.datasets.photographs import _sample_photographs

    _sample_photographs.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match="Install the extra"):
        Origin().samples(small_network())


def test_classes_have_names_only_with_published_weights():
    assert Origin("efficientnet_lite0", "imagenet").class_names()[985] == "daisy"
    assert Origin("efficientnet_lite0").class_names() is None
    assert Origin(None, "imagenet").class_names() is None


def test_weights_of_ones_own_module_are_not_called_random():
    assert Origin("resnet50").is_random
    assert not Origin("resnet50", "DEFAULT").is_random
    assert not Origin().is_random


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("resnet50", "DEFAULT", "ImageNet weights"),
        ("resnet50", "IMAGENET1K_V1", "ImageNet weights (IMAGENET1K_V1)"),
        ("resnet50", models.ResNet50_Weights.IMAGENET1K_V2, "ImageNet weights (IMAGENET1K_V2)"),
        ("efficientnet_lite0", "imagenet", "ImageNet weights"),
        ("ResNet18", "runs/best.pt", "weights of best.pt"),
        ("resnet18", None, "random init"),
        ("resnet20", None, "random init"),
        ("runs/best.pt", None, "checkpoint"),
        (None, None, "weights as given"),
    ],
)
def test_whose_weights_they_are_is_said_by_name(name, weights, words):
    assert Origin(name, weights).weights_in_words == words


def test_both_tabs_share_one_pass_over_the_inputs():
    model, origin, told = small_network(), Origin(loader=batches()), []
    real = RealInputs(model, origin)
    real.calibrate(lambda *done: None)
    assert origin.calibrated(model, lambda *done: told.append(done)) is real.calibration
    assert told == []
    assert real.source == "your loader (18 inputs)"
