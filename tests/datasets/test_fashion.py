import gzip

import numpy as np
import pytest
import torch

from lrexplore.datasets import TensorImages, fashion_mnist
from lrexplore.datasets.fashion import CLASSES, DEBIAN, MEAN, STD, SUBSET, cut_sheet, read_idx, sheet


def some_images(num_train=500, num_test=100):
    generator = torch.Generator().manual_seed(0)
    sets = []
    for count in (num_train, num_test):
        images = torch.randint(256, (10 * count, 1, 28, 28), generator=generator, dtype=torch.uint8)
        sets.append(TensorImages(images, torch.arange(10).repeat_interleave(count)))
    return sets


def test_the_subset_has_five_hundred_training_and_a_hundred_test_images_of_every_class():
    train, test = fashion_mnist()
    assert train.images.shape == (5000, 1, 28, 28) and train.images.dtype == torch.uint8
    assert train.labels.bincount().tolist() == [500] * 10
    assert test.labels.bincount().tolist() == [100] * 10
    assert SUBSET.stat().st_size < 3_000_000


def test_the_subset_looks_like_the_whole_set():
    pixels = fashion_mnist()[0].images.float() / 255
    assert abs(float(pixels.mean()) - MEAN[0]) < 0.01 and abs(float(pixels.std()) - STD[0]) < 0.01


def test_a_sheet_gives_its_images_back():
    for given, found in zip(some_images(), cut_sheet(sheet(*some_images())), strict=True):
        torch.testing.assert_close(found.images, given.images)
        torch.testing.assert_close(found.labels, given.labels)


def test_idx_files_are_read_as_they_are_published(tmp_path):
    images = np.random.default_rng(0).integers(256, size=(3, 28, 28), dtype=np.uint8)
    header = np.array([2051, 3, 28, 28], ">i4").tobytes()
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    labels = np.array([2049, 3], ">i4").tobytes() + bytes([7, 0, 9])
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    found = read_idx(tmp_path, "test")
    assert found.images[:, 0].tolist() == images.tolist() and found.labels.tolist() == [7, 0, 9]


def test_the_subset_is_the_first_of_every_class_of_the_whole_set():
    if not DEBIAN.is_dir():
        pytest.skip("needs Debian's package dataset-fashion-mnist")
    whole = fashion_mnist(whole=True)
    assert [len(part) for part in whole] == [60_000, 10_000]
    for part, small, count in zip(whole, fashion_mnist(), (500, 100), strict=True):
        for label in range(len(CLASSES)):
            expected = part.images[part.labels == label][:count]
            torch.testing.assert_close(small.images[small.labels == label], expected)


def test_without_a_clone_the_error_names_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setattr("lrexplore.datasets.fashion.SUBSET", tmp_path / "missing.png")
    with pytest.raises(FileNotFoundError, match="Install from a clone"):
        fashion_mnist()
