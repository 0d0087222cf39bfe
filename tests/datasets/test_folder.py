import numpy as np
import pytest
import torch
from PIL import Image

from lrexplore.datasets import FolderImages, Request, open_data


def write_images(folder, classes=("cat", "dog"), count=4, size=(40, 30)):
    generator = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def test_images_are_cut_to_squares_with_the_labels_of_their_folders(tmp_path):
    images = FolderImages(write_images(tmp_path), 16)
    batch = images[Request([0, 7, 3])]
    assert batch.images.shape == (3, 3, 16, 16) and batch.images.dtype == torch.uint8
    assert batch.labels.tolist() == [0, 1, 0]


def test_augmentation_depends_on_the_request_alone(tmp_path):
    images = FolderImages(write_images(tmp_path), 16)
    first = images[Request([0, 1], seed=3)].images
    state = torch.random.get_rng_state()
    images[Request([2], seed=4)]
    assert torch.random.get_rng_state().equal(state)
    assert images[Request([0, 1], seed=3)].images.equal(first)
    assert not images[Request([0, 1], seed=4)].images.equal(first)


def test_evaluation_shrinks_to_the_size_over_seven_eighths_and_cuts_the_middle(tmp_path):
    (tmp_path / "a").mkdir()
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[16:48, 16:48] = 200
    Image.fromarray(pixels).save(tmp_path / "a" / "square.png")
    batch = FolderImages(tmp_path, 28)[Request([0])]
    assert (batch.images[0, :, 9:19, 9:19] > 190).all() and (batch.images[0, :, :4] < 10).all()


@pytest.mark.parametrize("break_it", ["truncate", "garbage", "remove", "empty"])
def test_a_broken_image_is_left_out_and_named(tmp_path, break_it):
    images = FolderImages(write_images(tmp_path), 16)
    path = tmp_path / "cat" / "1.png"
    if break_it == "remove":
        path.unlink()
    else:
        content = {"truncate": path.read_bytes()[:300], "garbage": b"no image" * 99, "empty": b""}[break_it]
        path.write_bytes(content)
    batch = images[Request([0, 1, 5], seed=0)]
    assert batch.labels.tolist() == [0, 1] and len(batch.images) == 2
    assert batch.corrupt == [str(path)]


def test_a_batch_of_broken_images_only_is_empty(tmp_path):
    images = FolderImages(write_images(tmp_path, classes=("cat",), count=1), 16)
    (tmp_path / "cat" / "0.png").write_bytes(b"")
    assert images[Request([0])].images.shape == (0, 3, 16, 16)


def test_missing_and_empty_folders_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(FileNotFoundError, match="`data` must be a folder with images.*Check the path"):
        FolderImages(tmp_path / "missing", 16)
    with pytest.raises(FileNotFoundError, match="`data` must be a folder with images"):
        FolderImages(tmp_path, 16)
    with pytest.raises(FileNotFoundError, match="got 'nowhere'"):
        open_data("nowhere")


def test_imagenets_layout_gives_three_splits_and_val_is_the_test(tmp_path):
    write_images(tmp_path / "train", count=10)
    write_images(tmp_path / "val", classes=("dog",), count=2)
    data = open_data(str(tmp_path), held_out=0.2, image_size=16)
    assert (len(data.train), len(data.held_out), len(data.test)) == (16, 4, 2)
    assert not set(data.train.samples) & set(data.held_out.samples)
    assert data.num_classes == 2 and data.test[Request([0])].labels.tolist() == [1]


def test_a_class_that_has_no_training_images_is_refused(tmp_path):
    write_images(tmp_path / "train")
    write_images(tmp_path / "val", classes=("bird",))
    with pytest.raises(ValueError, match="got bird besides"):
        open_data(str(tmp_path))
