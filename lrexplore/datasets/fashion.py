"""Fashion-MNIST (Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747; MIT licence): 28 x 28 gray pictures of clothes."""

import gzip
from pathlib import Path

import numpy as np
import torch

from lrexplore.datasets.tensor_images import TensorImages

CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
MEAN, STD = (0.2860,), (0.3530,)
SUBSET = Path(__file__).resolve().parents[2] / "data" / "fashion-mnist-subset.png"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_SIZE, _COLUMNS = 28, 100
_TRAIN_ROWS, _TEST_ROWS = 5, 1  # of each class on the sheet
_FILES = {"train": "train", "test": "t10k"}


def fashion_mnist(*, whole: bool = False) -> tuple[TensorImages, TensorImages]:
    """The training and the test images: 5,000 and 1,000 that come with lrexplore, or all 60,000 and 10,000.

    The whole set is read from Debian's package `dataset-fashion-mnist` where it is installed, else from
    torchvision's download. Raises FileNotFoundError or ConnectionError where there is neither.
    """
    if not whole:
        return _subset()
    if DEBIAN.is_dir():
        return read_idx(DEBIAN, "train"), read_idx(DEBIAN, "test")
    return _download(True), _download(False)


def read_idx(folder: Path, split: str) -> TensorImages:
    """The images of one split ("train" or "test") from the gzipped idx files that Fashion-MNIST is published as."""
    images = gzip.decompress((folder / f"{_FILES[split]}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{_FILES[split]}-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, _SIZE, _SIZE).copy()
    return TensorImages(
        torch.from_numpy(pixels), torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8).astype(int))
    )


def sheet(train: TensorImages, test: TensorImages) -> np.ndarray:
    """The picture that holds the subset: six rows of 100 images a class, five of them training images."""
    rows = []
    for label in range(len(CLASSES)):
        for images, count in ((train, _TRAIN_ROWS), (test, _TEST_ROWS)):
            own = images.images[images.labels == label][: count * _COLUMNS]
            rows.append(own.view(count, _COLUMNS, _SIZE, _SIZE).transpose(1, 2).reshape(-1, _COLUMNS * _SIZE))
    return torch.cat(rows).numpy()


def cut_sheet(picture: np.ndarray) -> tuple[TensorImages, TensorImages]:
    """The training and the test images of such a picture."""
    rows = _TRAIN_ROWS + _TEST_ROWS
    tiles = torch.from_numpy(picture.copy()).view(len(CLASSES), rows, _SIZE, _COLUMNS, _SIZE).transpose(2, 3)
    labels = torch.arange(len(CLASSES))[:, None, None].expand(-1, rows, _COLUMNS)
    parts = []
    for part in (slice(None, _TRAIN_ROWS), slice(_TRAIN_ROWS, None)):
        images = tiles[:, part].reshape(-1, 1, _SIZE, _SIZE)
        parts.append(TensorImages(images, labels[:, part].reshape(-1)))
    return parts[0], parts[1]


def _subset() -> tuple[TensorImages, TensorImages]:
    from PIL import Image

    if not SUBSET.is_file():
        raise FileNotFoundError(
            f"`fashion-mnist` must find its images in a clone of lrexplore, got no {SUBSET.name} in"
            f" {SUBSET.parent}. Install from a clone (pip install -e .), or use `fashion-mnist-full`."
        )
    with Image.open(SUBSET) as picture:
        return cut_sheet(np.asarray(picture))


def _download(train: bool) -> TensorImages:
    import torchvision

    folder = Path(torch.hub.get_dir()).parent / "lrexplore"
    try:
        downloaded = torchvision.datasets.FashionMNIST(folder, train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            f"`fashion-mnist-full` must be downloaded once, got no connection ({error})."
            " Use `fashion-mnist` (6,000 images, embedded), or Debian's package dataset-fashion-mnist."
        ) from error
    return TensorImages(downloaded.data[:, None], downloaded.targets)
