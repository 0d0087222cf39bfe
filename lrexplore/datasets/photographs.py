"""Real images that need no download: crops of scikit-learn's two sample photographs; and any folder of images."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from lrexplore.disk.paths import printable

PARTS = ("calibration", "held_out")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_TILE, _SMALLEST = 106, 70


def photographs(
    num_images: int = 64, *, part: str = "calibration", size: int = 256, seed: int = 0
) -> list[Image.Image]:
    """`num_images` square RGB images, `size` pixels wide, cut from two photographs (a Chinese temple, a flower).

    Both photographs are divided like a chessboard into squares of 106 pixels; the black ones are for the part
    "calibration", the white ones for "held_out": no pixel is in both. An image is a crop of 70 to 106 pixels at a
    random place in one square, enlarged; half of them are mirrored. The same `seed` gives the same images.
    Two photographs are enough to try things out; for numbers that hold for other images, give a folder of these.
    Raises ModuleNotFoundError without scikit-learn, which has the photographs.
    """
    if part not in PARTS:
        raise ValueError(f"`part` must be one of {', '.join(PARTS)}, got {part!r}. Choose one of them.")
    if num_images < 1:
        raise ValueError(f"`num_images` must be 1 or more, got {num_images}. Ask for at least one.")
    generator = np.random.default_rng([seed, PARTS.index(part)])
    squares = _squares(part)
    return [_crop(squares, generator).resize((size, size), Image.Resampling.BICUBIC) for _ in range(num_images)]


def _crop(squares: list[Image.Image], generator: np.random.Generator) -> Image.Image:
    square = squares[int(generator.integers(len(squares)))]
    side = int(generator.integers(_SMALLEST, _TILE + 1))
    x, y = generator.integers(0, _TILE - side + 1, size=2).tolist()
    crop = square.crop((x, y, x + side, y + side))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if generator.integers(2) else crop


def _squares(part: str) -> list[Image.Image]:
    """The squares of a part, of both photographs."""
    color, squares = PARTS.index(part), []
    for photograph in _sample_photographs():
        for row in range(photograph.height // _TILE):
            for column in range(photograph.width // _TILE):
                if (row + column) % 2 == color:
                    x, y = column * _TILE, row * _TILE
                    squares.append(photograph.crop((x, y, x + _TILE, y + _TILE)))
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


def image_folder(path: str | Path) -> Iterator[Image.Image]:
    """The images under a folder, subfolders included, in the order of their paths, as RGB.

    Raises ValueError for a folder without images, and for a file that cannot be read as one.
    """
    path = Path(path).expanduser()
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise ValueError(
            f"`path` must be a folder with images ({', '.join(SUFFIXES)}), got none in {path}. Check the path."
        )
    for file in files:
        try:
            with Image.open(file) as image:
                picture = image.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"`{printable(file)}` must be an image, but: {error}. Remove or replace it.") from None
        yield picture
