"""Batches of images for a model, as often as they are asked for."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import islice

from PIL import Image
from torch import Tensor

from lrexplore.datasets.near_duplicates import NearDuplicates


class ImageLoader:
    """An iterable of batches `transform(images)` for a sequence of images, or for a function that gives them anew.

    `transform` takes a list of PIL images and gives one tensor, such as
    `partial(lrexplore.models.preprocess, "resnet50")`. `group` gives the id of an image's group, for what counts
    independent inputs; without it an image that says of which photograph it is (`image.info["photograph"]`) belongs to
    that, and others are a group of their own, near duplicates together.
    """

    def __init__(
        self,
        images: Sequence[Image.Image] | Callable[[], Iterable[Image.Image]],
        transform: Callable[[list[Image.Image]], Tensor],
        batch_size: int = 16,
        group: Callable[[Image.Image], Hashable] | None = None,
    ):
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be 1 or more, got {batch_size}. Choose a positive number.")
        self._images, self._transform, self._batch_size, self._group = images, transform, batch_size, group

    def __iter__(self) -> Iterator[Tensor]:
        return map(self._transform, self._batches())

    def grouped(self) -> Iterator[tuple[Tensor, list[Hashable]]]:
        """Every batch, with the group ids of its images."""
        duplicates = NearDuplicates()

        def group(image: Image.Image) -> Hashable:
            if self._group is not None:
                return self._group(image)
            photograph = image.info.get("photograph")
            return ("photograph", photograph) if photograph is not None else duplicates(image)

        for batch in self._batches():
            yield self._transform(batch), list(map(group, batch))

    def _batches(self) -> Iterator[list[Image.Image]]:
        images = iter(self._images() if callable(self._images) else self._images)
        while batch := list(islice(images, self._batch_size)):
            yield batch
