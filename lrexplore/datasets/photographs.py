"""Real images that need no download: crops of scikit-learn's two sample photographs; and any folder of images."""

import os
import warnings
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path

import numpy as np
from PIL import Image

from lrexplore.datasets.image_files import SUFFIXES, as_rgb, image_files, open_image
from lrexplore.disk.paths import as_path, printable

PARTS = ("calibration", "held_out")
_TILE, _SMALLEST = 106, 70


def photographs(
    num_images: int = 64, *, part: str = "calibration", size: int = 256, seed: int = 0
) -> list[Image.Image]:
    """`num_images` square RGB images, `size` pixels wide, cut from two photographs (a Chinese temple, a flower).

    Both photographs are divided like a chessboard into squares of 106 pixels; the black ones are for the part
    "calibration", the white ones for "held_out": no pixel is in both. An image is a crop of 70 to 106 pixels at a
    random place in one square, enlarged; half of them are mirrored. The same `seed` gives the same images. Each says in
    `image.info["photograph"]` of which it is: crops of one photograph are one independent input.
    Two photographs are enough to try things out; for numbers that hold for other images, give a folder of these.
    Raises ModuleNotFoundError without scikit-learn, which has the photographs.
    """
    if part not in PARTS:
        raise ValueError(f"`part` must be one of {', '.join(PARTS)}, got {part!r}. Choose one of them.")
    if num_images < 1:
        raise ValueError(f"`num_images` must be 1 or more, got {num_images}. Ask for at least one.")
    generator = np.random.default_rng([seed, PARTS.index(part)])
    squares = _squares(part)
    return [_crop(squares, generator, size) for _ in range(num_images)]


def _crop(squares: list[tuple[int, Image.Image]], generator: np.random.Generator, size: int) -> Image.Image:
    number, square = squares[int(generator.integers(len(squares)))]
    side = int(generator.integers(_SMALLEST, _TILE + 1))
    x, y = generator.integers(0, _TILE - side + 1, size=2).tolist()
    crop = square.crop((x, y, x + side, y + side))
    crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if generator.integers(2) else crop
    image = crop.resize((size, size), Image.Resampling.BICUBIC)
    image.info["photograph"] = number
    return image


def _squares(part: str) -> list[tuple[int, Image.Image]]:
    """The squares of a part, of both photographs, each with the number of its photograph."""
    color, squares = PARTS.index(part), []
    for number, photograph in enumerate(_sample_photographs()):
        for row in range(photograph.height // _TILE):
            for column in range(photograph.width // _TILE):
                if (row + column) % 2 == color:
                    x, y = column * _TILE, row * _TILE
                    squares.append((number, photograph.crop((x, y, x + _TILE, y + _TILE))))
    return squares


@cache
def _sample_photographs() -> tuple[Image.Image, ...]:
    try:
        from sklearn.datasets import load_sample_images
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "`photographs` are those of scikit-learn, which is not installed."
            " Install the extra: pip install -e '.[pretrained]', or give a folder of images."
        ) from None
    return tuple(Image.fromarray(np.asarray(image)) for image in load_sample_images().images)


def image_folder(path: str | Path, *, part: str | None = None, seed: int | None = None) -> Iterator[Image.Image]:
    """The images under a folder, subfolders included, as RGB; a file that cannot be read is left out with a warning.

    Each says in `image.info["path"]` where it lies. In the order of their paths; with a `seed` at random, one of every
    folder in turns, so that the first of them are of all classes. Of the parts, "held_out" is every fourth image of
    each folder and "calibration" the others.
    Raises ValueError for a folder without images, and for one in which none can be read.
    """
    path = as_path(path)
    files = sorted(image_files(path), key=Path)
    if not files:
        raise ValueError(
            f"`path` must be a folder with images ({', '.join(SUFFIXES)}), got none in {path}. Check the path."
        )
    generator = np.random.default_rng(seed or 0)
    if seed is not None:
        files = [files[place] for place in generator.permutation(len(files))]
        files.sort(key=os.path.dirname)  # stable: in one folder they stay at random
    if part is not None:
        files = [file for number, file in enumerate(files) if (number % 4 == 3) == (part == "held_out")]
    if seed is not None:
        files = _in_turns(files, generator)
    broken, count = "", 0
    for file in files:
        try:
            with open_image(file) as image:
                picture = as_rgb(image)
                picture.info["path"] = file
        except MemoryError:
            raise
        except Exception as error:  # what Pillow raises for a broken file depends on where it is broken
            broken = broken or (
                f"`{printable(file)}` must be an image, but: {_shown(error)}, got one that cannot be read. Remove or "
                "replace it."
            )
            warnings.warn(f"`{printable(file)}` is left out: it is no image ({_shown(error)}).", stacklevel=2)
            continue
        count += 1
        yield picture
    if broken and not count:
        raise ValueError(broken)


def _in_turns(files: list[str], generator: np.random.Generator) -> list[str]:
    """One file of every folder in turns, the folders in random order."""
    folders: dict[str, list[str]] = {}
    for file in files:
        folders.setdefault(os.path.dirname(file), []).append(file)
    order = [list(folders.values())[place] for place in generator.permutation(len(folders))]
    return [file for turn in zip_longest(*order) for file in turn if file is not None]


def _shown(error: Exception) -> str:
    return str(error).encode("utf-8", "backslashreplace").decode().rstrip(".") or type(error).__name__
