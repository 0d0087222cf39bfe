import numpy as np
import pytest
import torch
from PIL import Image

from lrexplore.datasets import photographs as module
from lrexplore.datasets.loader import ImageLoader
from lrexplore.datasets.photographs import image_folder, photographs

pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")


def test_no_pixel_is_in_both_parts(monkeypatch):
    # A photograph whose pixels carry their own place: even after cropping each color names its square.
    rows, columns = np.mgrid[:427, :640]
    place = np.stack([columns // module._TILE, rows // module._TILE, 0 * rows], -1).astype(np.uint8) * 20
    monkeypatch.setattr(module, "_sample_photographs", lambda: (Image.fromarray(place),))
    seen = {}
    for part in module.PARTS:
        colors = [np.asarray(image).reshape(-1, 3) for image in photographs(60, part=part, size=32)]
        seen[part] = {tuple(color) for color in np.concatenate(colors).tolist()}
        assert len(seen[part]) == 12
    assert not seen["calibration"] & seen["held_out"]


def test_the_same_seed_gives_the_same_images():
    first, again, other = (photographs(4, seed=seed) for seed in (0, 0, 1))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
    assert any(a.tobytes() != b.tobytes() for a, b in zip(first, other, strict=True))
    assert {(image.size, image.mode) for image in first} == {((256, 256), "RGB")}


def test_unknown_parts_and_counts_are_refused():
    with pytest.raises(ValueError, match="`part` must be one of calibration, held_out, got 'test'"):
        photographs(1, part="test")
    with pytest.raises(ValueError, match="`num_images` must be 1 or more, got 0"):
        photographs(0)


def test_a_folder_gives_its_images_in_order_as_rgb(tmp_path):
    (tmp_path / "b").mkdir()
    for number, name in enumerate(("b/2.png", "a.PNG", "c.jpg")):
        Image.new("L", (4, 4), 100 * number).save(tmp_path / name)
    images = list(image_folder(tmp_path))
    assert [image.getpixel((0, 0))[0] for image in images] == [100, 0, 200]
    assert {image.mode for image in images} == {"RGB"}


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_a_folder_without_images_and_a_broken_image_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a folder with images"):
        list(image_folder(tmp_path))
    (tmp_path / "x.png").write_text("no image")
    with pytest.raises(ValueError, match=r"x\.png` must be an image"):
        list(image_folder(tmp_path))


def test_a_loader_gives_all_images_each_time_it_is_asked():
    images = [Image.new("RGB", (2, 2), (number, 0, 0)) for number in range(5)]

    def transform(batch):
        return torch.tensor([image.getpixel((0, 0))[0] for image in batch])

    for source in (images, lambda: iter(images)):
        loader = ImageLoader(source, transform, batch_size=2)
        assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4]] == [batch.tolist() for batch in loader]
