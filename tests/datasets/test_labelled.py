"""A person's own images and labels that are none."""

import io

import pytest
import torch
from PIL import Image

from lrexplore.datasets import Request
from lrexplore.datasets.data import Data, own_data
from lrexplore.datasets.labelled import LabelledImages


class Pairs:
    """Images by what is done to get them, with labels."""

    def __init__(self, *pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        make, label = self.pairs[index]
        return make(), label


def png(*changes):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    for place, value in changes:
        content[place] = value
    return bytes(content)


def whole():
    return torch.zeros(3, 8, 8, dtype=torch.uint8)


def test_whatever_pillow_raises_for_a_broken_image_leaves_it_out_and_an_error_of_ones_own_does_not():
    size = len(png())
    opened = [lambda place=place: Image.open(io.BytesIO(png((place, 255)))).convert("RGB") for place in range(size)]
    batch = LabelledImages(Pairs(*((make, 0) for make in opened)), "train", 8)[Request(list(range(size)))]
    assert len(batch.labels) + len(batch.corrupt) == size and len(batch.corrupt) > 10

    def mine():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        LabelledImages(Pairs((mine, 0)), "train", 8)[Request([0])]


@pytest.mark.parametrize("label", ["x", None, 1.5, torch.ones(2), float("nan"), [1]])
def test_a_label_that_is_no_whole_number_is_named(label):
    with pytest.raises(ValueError, match=r"`data` must give labels that are whole numbers, got .* for train\[0\]"):
        LabelledImages(Pairs((whole, label)), "train", 8)[Request([0])]


@pytest.mark.parametrize("number", [0, -1, 10**11, 2.5, True, None])
def test_a_number_of_classes_that_makes_no_sense_is_refused(number):
    images = LabelledImages(Pairs((whole, 0)), "train", 8)
    made = {"name": "mine", "train": images, "held_out": images, "test": images, "mean": (0.0,), "std": (1.0,)}
    with pytest.raises(ValueError, match="`num_classes` must be a whole number in 1..1,000,000"):
        Data(**made, num_classes=number)
    with pytest.raises(ValueError, match="`num_classes` must be"):
        own_data("mine", (Pairs((whole, -1)), Pairs(), Pairs()))
