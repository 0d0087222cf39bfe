import numpy as np
import pytest
from PIL import Image

from lrexplore.datasets import FolderImages, Request
from lrexplore.datasets.image_files import as_rgb, image_files
from lrexplore.datasets.photographs import image_folder

RAMP = np.arange(256, dtype=np.float64).reshape(16, 16)  # what an 8-bit image of it holds
DEEP = {
    "16 bits": (RAMP * 257).astype(np.uint16),
    "32 bits of 16": (RAMP * 257).astype(np.int32),
    "32 bits": np.round(RAMP * (2**31 - 1) / 255).astype(np.int32),
    "32 bits of 8": RAMP.astype(np.int32),
    "floating 0..1": (RAMP / 255).astype(np.float32),
    "floating 0..255": RAMP.astype(np.float32),
    "floating with negatives": (RAMP / 10 - 12.75).astype(np.float32),
}


def colors(folder, names, *, size=(8, 8), suffix=".png", start=0):
    """Images of one gray each, told apart by it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(names):
        Image.new("RGB", size, (start + number,) * 3).save(folder / f"{number:03}{suffix}")
    return folder


@pytest.mark.parametrize("kind", DEEP)
def test_an_image_of_more_than_8_bits_is_scaled_and_not_clipped(kind, tmp_path):
    Image.fromarray(DEEP[kind]).save(tmp_path / "deep.tif")
    [picture] = image_folder(tmp_path)
    assert picture.mode == "RGB" and np.abs(np.asarray(picture)[..., 0] - RAMP).max() <= 1
    (tmp_path / "a").mkdir()
    (tmp_path / "deep.tif").rename(tmp_path / "a" / "deep.tif")
    trained = FolderImages(tmp_path, 14)[Request([0])].images.float()
    assert 60 < trained.mean() < 195  # white would be 255


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_an_8_bit_image_is_converted_as_pillow_does(mode):
    image = Image.fromarray(np.random.default_rng(0).integers(256, size=(9, 9, 3), dtype=np.uint8)).convert(mode)
    assert as_rgb(image).tobytes() == image.convert("RGB").tobytes()


def test_hidden_folders_and_those_of_the_system_are_no_classes(tmp_path):
    for name in (".ipynb_checkpoints", "@eaDir", "__MACOSX", "cat", "dog", "System Volume Information"):
        colors(tmp_path / name, 2)
    (tmp_path / "cat" / "._000.png").write_bytes(b"of a Mac")
    colors(tmp_path / "dog" / ".thumbnails", 2)
    images = FolderImages(tmp_path, 8)
    assert images.classes == ["cat", "dog"] and len(images) == 4
    batch = images[Request([0, 1, 2, 3])]
    assert batch.labels.tolist() == [0, 0, 1, 1] and batch.corrupt == []
    assert len(list(image_folder(tmp_path))) == 4


def test_an_empty_class_folder_is_named(tmp_path):
    colors(tmp_path / "cat", 1)
    (tmp_path / "dog").mkdir()
    with pytest.raises(FileNotFoundError, match="images in every class folder of .*, got none in dog. Put images"):
        FolderImages(tmp_path, 8)


def test_images_at_random_come_from_all_folders_alike_and_follow_the_seed(tmp_path):
    for number, name in enumerate("abcd"):
        colors(tmp_path / name, 20, start=50 * number)
    grays = [image.getpixel((0, 0))[0] for image in image_folder(tmp_path, seed=0)]
    assert sorted(grays) == sorted(50 * folder + number for folder in range(4) for number in range(20))
    for first in range(0, 80, 4):
        assert sorted(gray // 50 for gray in grays[first : first + 4]) == [0, 1, 2, 3]
    again, other = ([image.getpixel((0, 0))[0] for image in image_folder(tmp_path, seed=seed)] for seed in (0, 1))
    assert again == grays != other and grays[::4] != sorted(grays[::4])


def test_no_image_is_in_both_parts_and_each_has_some_of_every_folder(tmp_path):
    for number, name in enumerate("abcd"):
        colors(tmp_path / name, 20, start=50 * number)
    parts = [
        {image.getpixel((0, 0))[0] for image in image_folder(tmp_path, seed=0, part=part)}
        for part in ("calibration", "held_out")
    ]
    assert not parts[0] & parts[1] and [len(part) for part in parts] == [60, 20]
    assert all({gray // 50 for gray in part} == {0, 1, 2, 3} for part in parts)


def test_one_broken_file_among_good_ones_is_named_and_left_out(tmp_path):
    colors(tmp_path, 3)
    (tmp_path / "001.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"001\.png` is left out: it is no image"):
        images = list(image_folder(tmp_path))
    assert [image.getpixel((0, 0))[0] for image in images] == [0, 2]


@pytest.mark.parametrize("suffix", [".tif", ".TIFF", ".webp", ".ppm", ".bmp", ".JPG"])
def test_a_folder_is_read_as_in_training(suffix, tmp_path):
    colors(tmp_path / "cat", 2, suffix=suffix)
    assert len(list(image_folder(tmp_path))) == len(FolderImages(tmp_path, 8)) == 2


def test_images_of_a_kind_that_is_not_read_here_are_named(tmp_path):
    colors(tmp_path / "cat", 1)
    (tmp_path / "cat" / "phone.heic").write_bytes(b"ftypheic")
    for use in (image_files, lambda folder: list(image_folder(folder)), lambda folder: FolderImages(folder, 8)):
        with pytest.warns(UserWarning, match=r"1 images are left out, such as `.*phone\.heic`: Pillow reads no"):
            use(tmp_path)
