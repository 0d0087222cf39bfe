"""Batches of images for a model, as often as they are asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from PIL import Image
from torch import Tensor


class ImageLoader:
    """An iterable of batches `transform(images)` for a sequence of images, or for a function that gives them anew.

    `transform` takes a list of PIL images and gives one tensor, such as
    `partial(lrexplore.models.preprocess, "resnet50")`.
    """

    def __init__(
        self,
        images: Sequence[Image.Image] | Callable[[], Iterable[Image.Image]],
        transform: Callable[[list[Image.Image]], Tensor],
        batch_size: int = 16,
    ):
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be 1 or more, got {batch_size}. Choose a positive number.")
        self._images, self._transform, self._batch_size = images, transform, batch_size

    def __iter__(self) -> Iterator[Tensor]:
        images = iter(self._images() if callable(self._images) else self._images)
        while batch := list(islice(images, self._batch_size)):
            yield self._transform(batch)
