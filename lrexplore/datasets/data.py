"""The data of one training: what trains, what chooses, what is read once at the end."""

from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

from lrexplore.datasets import fashion
from lrexplore.datasets.addresses import is_address
from lrexplore.datasets.folder import FolderImages
from lrexplore.datasets.labelled import LabelledImages
from lrexplore.datasets.shards import MANIFEST, MOST_CLASSES, Shards, open_shards
from lrexplore.datasets.split import epoch_order, held_out_split
from lrexplore.datasets.synthetic import SyntheticImages
from lrexplore.datasets.tensor_images import TensorImages

Images = TensorImages | FolderImages | SyntheticImages | LabelledImages | Shards
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAMES = ("fashion-mnist", "fashion-mnist-full", "synthetic")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Images that train, that are held out of training to choose by, and to test; `mean` and `std` of pixels / 255.

    A set has a length and gives a `Batch` for a `Request`, the same one whenever and whoever asks: a run that is killed
    goes on with the same numbers by that alone. `select(indices)` is needed only to train on fewer. Labels are whole
    numbers in 0..num_classes - 1.
    """

    name: str
    train: Images
    held_out: Images
    test: Images
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        number = self.num_classes
        if isinstance(number, bool) or not isinstance(number, Integral) or not 1 <= number <= MOST_CLASSES:
            raise ValueError(
                f"`num_classes` must be a whole number in 1..{MOST_CLASSES:,}, got {number!r} for {self.name}. Count"
                " the labels from 0."
            )


def open_data(name: str, *, held_out: float = 0.1, image_size: int = 224, num_images: int | None = None) -> Data:
    """The data of that name: `fashion-mnist` (6,000 images that come along), `fashion-mnist-full` (70,000),
    `synthetic` (noise, for throughput only), or a folder.

    A folder has train/ and val/ with one folder a class, as ImageNet is unpacked, or `shards.json` beside
    WebDataset shards (see `lrexplore.datasets.shards`; the address of such a file will do as well, and
    `pipe:` with a command that prints it).
    `held_out` is the fraction of the training images that chooses models. `num_images` limits how many train.
    `image_size` is the edge of the square that folders, shards and noise are cut to.
    Raises FileNotFoundError or ValueError, with the way out, for anything else.
    """
    if name in ("fashion-mnist", "fashion-mnist-full"):
        train, test = fashion.fashion_mnist(whole=name.endswith("full"))
        described = {"num_classes": len(fashion.CLASSES), "mean": fashion.MEAN, "std": fashion.STD}
        return _split(name, train, test, held_out, num_images, described)
    about: dict[str, Any] = {"mean": _IMAGENET_MEAN, "std": _IMAGENET_STD}
    if name == "synthetic":
        sets = [SyntheticImages(count, 1000, image_size) for count in (num_images or 1_281_167, 1000, 1000)]
        return Data(name=name, train=sets[0], held_out=sets[1], test=sets[2], num_classes=1000, **about)
    folder = Path(name).expanduser().absolute()
    if (folder / MANIFEST).is_file():  # whatever it is called: a folder is no address and no command
        return Data(name=name, **open_shards(str(folder / MANIFEST), image_size), **about)
    if is_address(name) and not folder.is_dir():
        return Data(name=name, **open_shards(name, image_size), **about)
    if not folder.is_dir():
        raise FileNotFoundError(f"`data` must be a folder or one of {', '.join(NAMES)}, got {name!r}. Check the path.")
    images = FolderImages(folder / "train", image_size)
    judged = FolderImages(folder / "val", image_size, images.classes)
    return _split(name, images, judged, held_out, num_images, {"num_classes": len(images.classes), **about})


def own_data(name: str, made, *, image_size: int = 224, num_images: int | None = None) -> Data:
    """The data that a person's own function has made: a `Data`, or three sets that train, are held out and test.

    Each set is a Dataset of pairs as `LabelledImages` takes them, or one of ours. uint8 images of pairs are normalized
    by ImageNet's mean and standard deviation; floating ones are left as they are. `num_images` limits how many train.
    Raises ValueError for anything else.
    """
    if not isinstance(made, Data):
        if not isinstance(made, tuple | list) or len(made) != 3:
            got = f"{len(made)} of them" if isinstance(made, tuple | list) else f"a {type(made).__name__}"
            raise ValueError(
                f"`data` must be a function that returns the sets (train, held out, test) or a Data, got {got} from"
                f" {name}. Return three Datasets of (image, label) pairs."
            )
        sets = {}
        for part, images in zip(("train", "held_out", "test"), made, strict=True):
            if not hasattr(images, "__len__") or not hasattr(images, "__getitem__"):
                raise ValueError(
                    f"`data` must give sets with a length and items, got a {type(images).__name__} as {part} from"
                    f" {name}. Return Datasets that are indexed, not streams."
                )
            ours = isinstance(images, TensorImages | FolderImages | SyntheticImages | LabelledImages | Shards)
            sets[part] = images if ours else LabelledImages(images, part, image_size)
        num_classes = _num_classes(sets["train"])
        made = Data(name=name, **sets, num_classes=num_classes, mean=_IMAGENET_MEAN, std=_IMAGENET_STD)
    train = made.train if num_images is None else made.train.select(_some(name, len(made.train), num_images))
    return replace(made, name=name, train=train)


def _num_classes(train) -> int:
    if isinstance(train, LabelledImages):
        return train.num_classes()
    if isinstance(train, TensorImages):
        return int(train.labels.max()) + 1
    if isinstance(train, FolderImages):
        return len(train.classes)
    raise ValueError(
        f"`data` must say how many classes there are, got {type(train).__name__} alone. Return a Data, with its"
        " `num_classes`."
    )


def _split(name, train, test, held_out: float, num_images: int | None, about: dict) -> Data:
    train_indices, held_out_indices = held_out_split(len(train), held_out)
    if num_images is not None:
        train_indices = [train_indices[k] for k in _some(name, len(train_indices), num_images)]
    return Data(
        name=name,
        train=train.select(train_indices),
        held_out=train.select(held_out_indices),
        test=test,
        **about,
    )


def _some(name: str, count: int, num_images: int) -> list[int]:
    if not 1 <= num_images <= count:
        raise ValueError(
            f"`num_images` must lie in 1..{count}, the training images of {name} without the"
            f" held-out ones, got {num_images}. Leave it out for all."
        )
    return epoch_order(count, 0, 0)[:num_images]
