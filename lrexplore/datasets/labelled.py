"""A person's own images: any torch Dataset of (image, label) pairs, asked so that a resumed run gets the same ones."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lrexplore.datasets.augmentation import prepare
from lrexplore.datasets.batch import Batch, Request
from lrexplore.datasets.split import mix


class LabelledImages:
    """The images of a Dataset with `len` and, for every index, a pair of an image and a whole number from 0.

    An image is a tensor (c, h, w), all of one size: a floating one is what the network gets; a uint8 one is normalized
    and, of one channel, repeated three times. Or it is a PIL image, which is cut to `size` and augmented as those of a
    folder are. The dataset may draw at random (from torch, numpy and random): the generators are seeded for every
    image, so that a batch depends on what is asked for alone. An image whose file cannot be read is left out and named.
    """

    def __init__(self, dataset, name: str, size: int, indices: Sequence[int] | None = None):
        self.dataset, self.name, self.size = dataset, name, size
        self.indices = range(len(dataset)) if indices is None else indices

    def __len__(self) -> int:
        return len(self.indices)

    def select(self, indices: Sequence[int]) -> "LabelledImages":
        """The images with these indices, in this order."""
        return LabelledImages(self.dataset, self.name, self.size, [self.indices[index] for index in indices])

    def __getitem__(self, request: Request) -> Batch:
        images, labels, corrupt = [], [], []
        for position, index in enumerate(request.indices):
            number = self.indices[index]
            with _seeded(mix(number) if request.seed is None else mix(request.seed, position)):
                try:
                    image, label = self._pair(number)
                    if isinstance(image, Image.Image):
                        seed = None if request.seed is None else mix(request.seed, position)
                        image = prepare(image, self.size, seed)
                except MemoryError:
                    raise
                except Exception as error:
                    if not _is_of_an_image(error):
                        raise
                    corrupt.append(f"{self.name}[{number}]")
                    continue
            images.append(self._checked(image, number))
            labels.append(self._number(label, number))
        if len({(image.shape, image.dtype) for image in images}) > 1:
            raise ValueError(
                f"`data` must give images of one size and type, got {_sizes(images)} in {self.name}."
                " Cut them alike, or give PIL images, which are cut here."
            )
        empty = torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        return Batch(torch.stack(images) if images else empty, torch.tensor(labels, dtype=torch.long), corrupt)

    def num_classes(self) -> int:
        """The number of classes: of `classes`, or one more than the largest of `targets` or `labels`, or else of the
        labels of all images, which are read for it."""
        dataset = self.dataset
        while isinstance(dataset, torch.utils.data.Subset):
            dataset = dataset.dataset
        if classes := getattr(dataset, "classes", None):
            return len(classes)
        labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
        if labels is None and isinstance(dataset, torch.utils.data.TensorDataset):
            labels = dataset.tensors[1]
        if labels is None:
            labels = [self._number(self._pair(number)[1], number) for number in self.indices]
        try:
            return int(torch.as_tensor(labels).max()) + 1
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise ValueError(
                f"`data` must have labels that are whole numbers, got {type(labels).__name__} in {self.name} ({error})."
                " Give the number of classes by a Data."
            ) from None

    def _pair(self, number: int):
        pair = self.dataset[number]
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(
                f"`data` must give pairs of an image and a label, got a {type(pair).__name__} for"
                f" {self.name}[{number}]. Return (image, label)."
            )
        return pair

    def _number(self, label, number: int) -> int:
        try:
            whole = int(label)
            if whole != label:
                raise ValueError("a fraction")
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise ValueError(
                f"`data` must give labels that are whole numbers, got {label!r} for {self.name}[{number}]. Number the"
                " classes from 0."
            ) from None
        return whole

    def _checked(self, image, number: int) -> Tensor:
        is_image = isinstance(image, Tensor) and image.ndim == 3
        if not is_image or not (image.dtype == torch.uint8 or image.is_floating_point()):
            got = f"{image.dtype} of shape {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
            raise ValueError(
                "`data` must give images that are PIL images or tensors (channels, height, width), uint8 or floating,"
                f" got {got} for {self.name}[{number}]. Convert it in your Dataset."
            )
        return image


def _is_of_an_image(error: Exception) -> bool:
    """Whether a file that is no image is behind an error; what Pillow raises depends on where the file is broken."""
    trace, pillow = error.__traceback__, str(Path(Image.__file__).parent)
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(pillow):
            return True
        trace = trace.tb_next
    return isinstance(error, OSError)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """In it torch, numpy and random draw from this seed; then again from where they were."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def _sizes(images: list[Tensor]) -> str:
    sizes = list(dict.fromkeys(f"{image.dtype} {tuple(image.shape)}" for image in images))
    return " and ".join(sizes[:2])
