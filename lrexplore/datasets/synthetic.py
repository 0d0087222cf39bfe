"""Images of noise, for measuring throughput only: nothing can be learned from them."""

import torch

from lrexplore.datasets.batch import Batch, Request
from lrexplore.datasets.split import mix


class SyntheticImages:
    """As many images of noise as wanted; a batch is drawn once and served again with other labels."""

    def __init__(self, num_images: int, num_classes: int, size: int):
        self.num_images, self.num_classes, self.size = num_images, num_classes, size
        self._images = torch.empty(0)

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, request: Request) -> Batch:
        b = len(request.indices)
        if len(self._images) != b:
            generator = torch.Generator().manual_seed(b)
            shape = (b, 3, self.size, self.size)
            self._images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        labels = torch.tensor([mix(index) % self.num_classes for index in request.indices])
        return Batch(self._images, labels, [])
