"""The data of one training: what trains, what chooses, what is read once at the end."""

from dataclasses import dataclass
from pathlib import Path

from lrexplore.datasets import fashion
from lrexplore.datasets.folder import FolderImages
from lrexplore.datasets.shards import MANIFEST, Shards, open_shards
from lrexplore.datasets.split import epoch_order, held_out_split
from lrexplore.datasets.synthetic import SyntheticImages
from lrexplore.datasets.tensor_images import TensorImages

Images = TensorImages | FolderImages | SyntheticImages | Shards
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAMES = ("fashion-mnist", "fashion-mnist-full", "synthetic")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Images that train, that are held out of training to choose by, and to test; `mean` and `std` of pixels / 255."""

    name: str
    train: Images
    held_out: Images
    test: Images
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def open_data(name: str, *, held_out: float = 0.1, image_size: int = 224, num_images: int | None = None) -> Data:
    """The data of that name: `fashion-mnist` (6,000 images that come along), `fashion-mnist-full` (70,000),
    `synthetic` (noise, for throughput only), or a folder.

    A folder has train/ and val/ with one folder a class, as ImageNet is unpacked, or `shards.json` beside
    WebDataset shards (see `lrexplore.datasets.shards`; the address of such a file will do as well).
    `held_out` is the fraction of the training images that chooses models. `num_images` limits how many train.
    `image_size` is the edge of the square that folders, shards and noise are cut to.
    Raises FileNotFoundError or ValueError, with the way out, for anything else.
    """
    if name in ("fashion-mnist", "fashion-mnist-full"):
        train, test = fashion.fashion_mnist(whole=name.endswith("full"))
        about = {"num_classes": len(fashion.CLASSES), "mean": fashion.MEAN, "std": fashion.STD}
        return _split(name, train, test, held_out, num_images, about)
    about = {"mean": _IMAGENET_MEAN, "std": _IMAGENET_STD}
    if name == "synthetic":
        sets = [SyntheticImages(count, 1000, image_size) for count in (num_images or 1_281_167, 1000, 1000)]
        return Data(name=name, train=sets[0], held_out=sets[1], test=sets[2], num_classes=1000, **about)
    folder = Path(name).expanduser()
    if "://" in name or (folder / MANIFEST).is_file():
        sets = open_shards(name if "://" in name else str(folder / MANIFEST), image_size)
        return Data(name=name, **sets, **about)
    if not folder.is_dir():
        raise FileNotFoundError(f"`data` must be a folder or one of {', '.join(NAMES)}, got {name!r}. Check the path.")
    train = FolderImages(folder / "train", image_size)
    test = FolderImages(folder / "val", image_size, train.classes)
    return _split(name, train, test, held_out, num_images, {"num_classes": len(train.classes), **about})


def _split(name, train, test, held_out: float, num_images: int | None, about: dict) -> Data:
    train_indices, held_out_indices = held_out_split(len(train), held_out)
    if num_images is not None:
        if not 1 <= num_images <= len(train_indices):
            raise ValueError(
                f"`num_images` must lie in 1..{len(train_indices)}, the training images of {name} without the"
                f" held-out ones, got {num_images}. Leave it out for all."
            )
        train_indices = [train_indices[k] for k in epoch_order(len(train_indices), 0, 0)[:num_images]]
    return Data(
        name=name,
        train=train.select(train_indices),
        held_out=train.select(held_out_indices),
        test=test,
        **about,
    )
