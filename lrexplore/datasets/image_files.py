"""Files of images in folders: which they are, and what is in one, as 8-bit RGB."""

import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from lrexplore.disk.paths import printable

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif")
_OF_THE_SYSTEM = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
_LARGEST = (2**8 - 1, 2**16 - 1, 2**31 - 1)


def is_visible(name: str) -> bool:
    """Whether a file or folder of this name is a person's, and not one that a system or a program put there."""
    return not name.startswith(".") and name not in _OF_THE_SYSTEM


def image_files(folder: str | Path) -> list[str]:
    """The paths of the images under a folder, folder by folder in the order of their names; hidden ones are left out.

    Images of kinds that Pillow cannot read here are left out too, with a warning that names the first.
    """
    files = []
    for place, names in sorted(_walk(folder)):
        files += [os.path.join(place, name) for name in sorted(names) if is_visible(name)]
    images = [path for path in files if path.lower().endswith(SUFFIXES)]
    readable = tuple(Image.registered_extensions())
    unknown = [path for path in images if not path.lower().endswith(readable)]
    if unknown:
        suffix = Path(unknown[0]).suffix.lower()
        warnings.warn(
            f"{len(unknown)} images are left out, such as `{printable(unknown[0])}`: Pillow reads no {suffix} here."
            " Install its plugin (pillow-heif) and call its `register_heif_opener`, or convert them.",
            stacklevel=3,
        )
    return [path for path in images if path.lower().endswith(readable)]


def _walk(folder: str | Path) -> Iterator[tuple[str, list[str]]]:
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = filter(is_visible, folders)
        yield place, names


def open_image(path: str | Path) -> Image.Image:
    """The image in a file, to be decoded. Raises OSError for a pipe or a device, which would keep us waiting."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"{path} is no file")
    return Image.open(path)


def as_rgb(image: Image.Image) -> Image.Image:
    """The image as 8-bit RGB; one of 16 or 32 bits or of floating numbers is scaled to that, where Pillow would clip.

    Sixteen bits are scaled by their range. Of 32 bits the range is the smallest of 8, 16 and 31 bits that holds the
    values; of floating numbers that or 0..1, and from the least to the largest where some are negative.
    """
    if image.mode.startswith("I;16"):
        return _scaled(np.asarray(image), _LARGEST[1])
    if image.mode not in ("I", "F"):
        return image.convert("RGB")
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
    least, largest = float(values.min()), float(values.max())
    if least < 0 or largest > _LARGEST[-1]:
        return _scaled(values - least, max(largest - least, 1e-300))
    ranges = ((1.0,) if image.mode == "F" else ()) + _LARGEST
    return _scaled(values, next(top for top in ranges if largest <= top))


def _scaled(values: np.ndarray, top: float) -> Image.Image:
    return Image.fromarray(np.round(values * (255.0 / top)).astype(np.uint8)).convert("RGB")
