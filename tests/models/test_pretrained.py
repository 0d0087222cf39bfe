import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision.models import ResNet18_Weights, resnet18

from lrexplore.models import available_weights, categories, load_model, preprocess
from lrexplore.models.architectures import LITE0


@pytest.fixture(scope="module")
def lite0():
    return load_model(LITE0, weights="imagenet")


def _top(model, image, count):
    with torch.inference_mode():
        logits = model(preprocess(LITE0, load_sample_image(image)))
    return [categories()[index] for index in logits[0].topk(count).indices]


def test_lite0_sees_a_palace_with_a_bell_cote_in_the_photograph_of_china(lite0):
    assert {"bell cote", "palace"} <= set(_top(lite0, "china.jpg", 5))


def test_lite0_sees_a_daisy_in_the_photograph_of_a_flower(lite0):
    assert _top(lite0, "flower.jpg", 1) == ["daisy"]


def test_lite0_without_weights_is_a_random_draw(lite0):
    drawn = load_model(LITE0)
    assert sum(p.numel() for p in drawn.parameters()) == sum(p.numel() for p in lite0.parameters())
    assert not torch.equal(drawn.conv_stem.weight, lite0.conv_stem.weight)


def test_there_is_a_category_for_every_logit(lite0):
    assert lite0.get_classifier().out_features == len(categories()) == 1000


@pytest.mark.parametrize(("name", "size"), [(LITE0, 224), ("resnet50", 224), ("efficientnet_b1", 240)])
def test_preprocessing_gives_the_size_the_weights_were_evaluated_at(name, size):
    photograph = load_sample_image("china.jpg")
    batch = preprocess(name, [photograph, Image.fromarray(photograph).convert("L")])
    assert batch.shape == (2, 3, size, size)
    assert batch.dtype == torch.float32


def test_an_array_and_a_pil_image_are_preprocessed_alike():
    photograph = load_sample_image("flower.jpg")
    assert torch.equal(preprocess(LITE0, photograph), preprocess(LITE0, Image.fromarray(np.asarray(photograph))))


def test_available_weights_can_be_asked_by_name():
    assert available_weights("resnet50") == ["IMAGENET1K_V1", "IMAGENET1K_V2", "DEFAULT"]
    assert "imagenet" in available_weights(LITE0)


@pytest.mark.parametrize("weights", ["IMAGENET1K_V9", "ResNet50_Weights.DEFAULT", True])
def test_unknown_weights_are_answered_with_the_known_ones(weights):
    with pytest.raises(ValueError, match="`weights` of resnet18 must be None.*IMAGENET1K_V1, DEFAULT; got"):
        load_model("resnet18", weights=weights)


def test_weights_of_another_torchvision_model_are_refused():
    with pytest.raises(ValueError, match=f"`weights` of {LITE0} must be .*got 'ResNet18_Weights.IMAGENET1K_V1'"):
        load_model(LITE0, weights=ResNet18_Weights.DEFAULT)


def test_a_failed_download_says_why_and_names_the_ways_out(monkeypatch, tmp_path):
    def unreachable(*arguments, **options):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    with pytest.raises(
        ConnectionError,
        match=r"https://\S+resnet18-\S+, which failed: .*Name or service.*efficientnet_lite0.*path",
    ):
        load_model("resnet18", weights="DEFAULT")


@pytest.fixture
def cached(monkeypatch, tmp_path):
    """Where torch.hub keeps the ImageNet weights of ResNet-18, in a hub folder of the test's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize("weights", ["DEFAULT", "IMAGENET1K_V1", ResNet18_Weights.DEFAULT, "ResNet18_Weights.DEFAULT"])
def test_downloaded_weights_are_loaded_by_torchvision(weights, cached):
    saved = resnet18().state_dict()
    torch.save(saved, cached)
    loaded = load_model("resnet18", weights=weights)
    assert not loaded.training
    assert all(torch.equal(value, saved[key]) for key, value in loaded.state_dict().items())


def test_a_broken_download_is_an_error_that_names_the_file_to_delete(cached):
    cached.write_bytes(b"half a download")
    with pytest.raises(ValueError, match=f"must be a complete download.*Delete {cached}"):
        load_model("resnet18", weights="DEFAULT")


def test_published_weights_that_are_not_finite_are_named(cached):
    saved = resnet18().state_dict()
    saved["layer1.0.conv1.weight"][0, 0, 0, 0] = torch.nan
    torch.save(saved, cached)
    with pytest.raises(ValueError, match="`layer1.0.conv1.weight` of resnet18 with weights DEFAULT must be finite"):
        load_model("resnet18", weights="DEFAULT")
