"""Which images count as one independent input."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lrexplore.datasets.loader import ImageLoader
from lrexplore.datasets.near_duplicates import NearDuplicates
from lrexplore.datasets.photographs import image_folder, photographs


def _scenes(count, seed=0):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        small = generator.integers(0, 256, size=(7, 9, 3), dtype=np.uint8)
        yield Image.fromarray(small).resize((180, 140), Image.Resampling.BICUBIC)


def _compressed(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file)


CHANGES = {
    "the same again": lambda image: image.copy(),
    "compressed": _compressed,
    "half as large": lambda image: image.resize((90, 70)),
    "darker": lambda image: image.point(lambda value: int(0.8 * value)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_image_that_is_scaled_compressed_or_darker_is_the_same(change):
    number = NearDuplicates()
    first = [number(image) for image in _scenes(40)]
    assert first == list(range(40))
    assert [number(CHANGES[change](image)) for image in _scenes(40)] == first


def test_images_without_contrast_are_the_same_only_where_they_are_equal():
    number = NearDuplicates()
    shades = [Image.new("RGB", (30, 30), (value, value, value)) for value in (0, 1, 255, 0)]
    assert [number(image) for image in shades] == [0, 1, 2, 0]


def test_crops_of_a_photograph_are_of_one_group_and_files_are_groups_of_their_own(tmp_path):
    def transform(images):
        return torch.stack(
            [torch.from_numpy(np.array(image.resize((8, 8)))).permute(2, 0, 1).float() for image in images]
        )

    pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")
    batches = list(ImageLoader(photographs(20), transform, 8).grouped())
    assert [len(ids) for _, ids in batches] == [8, 8, 4]
    assert {one for _, ids in batches for one in ids} == {("photograph", 0), ("photograph", 1)}
    for number, image in enumerate(_scenes(5)):
        image.save(tmp_path / f"{number}.png")
        image.resize((150, 120)).save(tmp_path / f"{number} small.png")
    files = ImageLoader(lambda: image_folder(tmp_path), transform, 4)
    ids = [one for _, ids in files.grouped() for one in ids]
    assert sorted(ids) == sorted([*range(5), *range(5)])
    by_name = ImageLoader(lambda: image_folder(tmp_path), transform, 4, group=lambda image: image.info["path"])
    assert len({one for _, ids in by_name.grouped() for one in ids}) == 10
    assert all(map(torch.equal, files, (batch for batch, _ in files.grouped())))
