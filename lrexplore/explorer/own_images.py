"""Images of a person's own, from a folder or from their browser: read once, safely, and as many as are of use."""

import io
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from lrexplore.datasets.image_files import SUFFIXES, as_rgb, is_visible
from lrexplore.datasets.loader import ImageLoader
from lrexplore.disk.paths import as_path, printable

MOST_IMAGES, MOST_LISTED = 224, 100_000
MOST_PIXELS = 80_000_000  # below what Pillow calls a decompression bomb
MOST_BYTES = 256 * 2**20
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "AVIF", "HEIF", "MPO")
NUM_NAMED, BATCH_SIZE = 3, 8
UPLOADED = "uploaded images"

Progress = Callable[[int, int, str], None]


def silent(done: int, total: int, what: str) -> None:
    """Progress that nobody looks at."""


class OwnImages:
    """A loader of images, good for one pass; `said` says how many of what they were, `left_out` those that were not.

    `files` are names with a path or the bytes of each. At most `MOST_IMAGES` are read, at random for all to be of every
    folder; a file that is broken, no image or too large is left out and named. `transform` makes a batch of PIL images.
    Near duplicates are one group.
    """

    def __init__(
        self,
        files: Sequence[tuple[str, Path | bytes]],
        place: str,
        transform: Callable[[list[Image.Image]], Tensor],
        *,
        left_out: Iterable[str] = (),
        progress: Progress = silent,
    ):
        order = np.random.default_rng(0).permutation(len(files))[:MOST_IMAGES]
        self._files = [files[number] for number in order]
        self._num_found, self._num_read, self._place = len(files), 0, place
        self._loader = ImageLoader(self._read, transform, BATCH_SIZE)
        self._progress, self._left_out = progress, list(left_out)

    @property
    def said(self) -> str:
        """How many images of what, such as "12 images of photos"."""
        what = self._place if self._place == UPLOADED else f"images of {self._place}"
        drawn = f" of {self._num_found:,}" if self._num_found > MOST_IMAGES else ""
        return f"{self._num_read}{drawn} {what}"

    @property
    def left_out(self) -> str:
        """Which files were left out and why, in words; "" for none."""
        if not self._left_out:
            return ""
        more = len(self._left_out) - NUM_NAMED
        named = ", ".join(self._left_out[:NUM_NAMED]) + (f" and {more} more" if more > 0 else "")
        return f"{len(self._left_out)} left out: {named}"

    def __iter__(self) -> Iterator[Tensor]:
        return (batch for batch, _ in self.grouped())

    def grouped(self) -> Iterator[tuple[Tensor, list[Hashable]]]:
        """Every batch, with the ids of the groups of its images. Raises ValueError for fewer than two images."""
        try:
            yield from self._loader.grouped()
        finally:  # what was read is in the batches: of files from a browser these were the only copy
            self._files, self._progress = [], silent
        if self._num_read < 2:
            left_out = f" ({self.left_out})" if self._left_out else ""
            raise ValueError(
                f"`images` must be two or more that can be read, got {self.said}{left_out}. One is kept for judging; "
                "choose others."
            )

    def _read(self) -> Iterator[Image.Image]:
        for done, (name, content) in enumerate(self._files):
            self._progress(done, len(self._files), f"reading images of {self._place}")
            try:
                image = decoded(content)
            except MemoryError:
                raise
            except Exception as error:  # what Pillow raises for a broken file depends on where it is broken
                self._left_out.append(f"{printable(name)} ({_reason(error)})")
                continue
            self._num_read += 1
            yield image


def decoded(content: Path | bytes) -> Image.Image:
    """The image in a file, or in the bytes of one, as RGB; never one of a kind that starts another program.

    Raises ValueError for one that is too large to be decoded, OSError for what is no image.
    """
    if isinstance(content, Path) and not content.is_file():
        raise OSError("no file")
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES / 2**20:g} MiB")
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=formats) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"{image.width} x {image.height}, more than {MOST_PIXELS / 1e6:g} million pixels")
        return as_rgb(image)


def of_person(images: str | Path | Iterable[str | Path]) -> partial[OwnImages]:
    """`OwnImages` of a folder by its path, subfolders included, or of files, still without their transform.

    Raises ValueError for a path that is no folder, and for a folder without images.
    """
    if not isinstance(images, (str, os.PathLike)):
        paths = [as_path(path, "images") for path in images]
        if missing := [path for path in paths if not path.is_file()]:
            raise ValueError(f"`images` must be files, got no file {printable(missing[0])}. Check the path.")
        parents = {path.parent for path in paths}
        place = parents.pop().name if len(parents) == 1 else "several folders"
        return partial(OwnImages, [(path.name, path) for path in paths], place or "files")
    folder = as_path(str(images).strip() if isinstance(images, str) else images, "images")
    if not str(images).strip() or not folder.is_dir():
        kind = "nothing" if not str(images).strip() else "a file" if folder.exists() else "no such folder"
        raise ValueError(f"`images` must be a folder of images, got {kind}: {printable(folder)}. Check the path.")
    paths, num_seen = _found(folder)
    if not paths:
        raise ValueError(
            f"`images` must be a folder of images ({', '.join(SUFFIXES)}), got none in {printable(folder)}. Check the "
            "path."
        )
    beyond = [f"files beyond the first {MOST_LISTED:,}"] if num_seen > MOST_LISTED else []
    files = [(str(path.relative_to(folder)), path) for path in paths]
    return partial(OwnImages, files, folder.resolve().name or str(folder), left_out=beyond)


def said(origin) -> str:
    """What an origin of images has taken, and what it has left out."""
    images = origin.loader
    return ". ".join(filter(None, (images.said, images.left_out)))


def of_uploads(files: Sequence[tuple[str, bytes]], left_out: Iterable[str] = ()) -> partial[OwnImages]:
    """`OwnImages` of files that a browser sent; `left_out` names those that it did not."""
    if not files:
        raise ValueError(f"`images` must be files that can be sent, got none ({', '.join(left_out)}). Choose others.")
    return partial(OwnImages, files, UPLOADED, left_out=left_out)


def _found(folder: Path) -> tuple[list[Path], int]:
    """The images under a folder in the order of their paths, and how many files were looked at; each folder once."""
    images, num_seen, been = [], 0, set()
    for place, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in been:  # a link to a folder above it
            folders.clear()
            continue
        been.add((status.st_dev, status.st_ino))
        folders[:] = sorted(filter(is_visible, folders))
        images += [Path(place, name) for name in sorted(names) if is_visible(name) and name.lower().endswith(SUFFIXES)]
        num_seen += len(names) + len(folders)
        if num_seen > MOST_LISTED:
            break
    return images, num_seen


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MOST_PIXELS / 1e6:g} million pixels"
    return str(error).encode("utf-8", "backslashreplace").decode().rstrip(".")[:80] or type(error).__name__
