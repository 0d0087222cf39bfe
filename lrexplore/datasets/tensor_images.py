"""Images that fit in memory, cut and mirrored a batch at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lrexplore.datasets.batch import Batch, Request

_PADDING = 4


class TensorImages:
    """Images (n, c, h, w) uint8 and labels (n,) int64. A batch with a seed is augmented as CIFAR's recipes do:
    padded by 4 pixels, cut at random to its old size, mirrored with probability 1/2."""

    def __init__(self, images: Tensor, labels: Tensor):
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: Sequence[int]) -> "TensorImages":
        """The images with these indices, in this order."""
        chosen = torch.as_tensor(indices, dtype=torch.long)
        return TensorImages(self.images[chosen], self.labels[chosen])

    def __getitem__(self, request: Request) -> Batch:
        indices = torch.as_tensor(request.indices, dtype=torch.long)
        images = self.images[indices]
        if request.seed is not None:
            images = cut_and_mirror(images, _PADDING, torch.Generator().manual_seed(request.seed))
        return Batch(images, self.labels[indices], [])


def cut_and_mirror(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Every image (b, c, h, w) shifted by up to `padding` pixels each way, zeros coming in; half are mirrored."""
    b, _, h, w = images.shape
    rows, columns = torch.randint(2 * padding + 1, (2, b, 1), generator=generator)
    mirrored = torch.rand(b, 1, generator=generator) < 0.5
    rows, columns = rows + torch.arange(h), columns + torch.arange(w)
    columns = torch.where(mirrored, columns.flip(1), columns)
    padded = F.pad(images, (padding,) * 4)
    return padded[torch.arange(b)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cut_out(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """The normalized images (b, c, h, w) with a square of zeros each, centred on any pixel and cut at the borders
    (DeVries & Taylor 2017, arXiv:1708.04552)."""
    b, _, h, w = images.shape
    rows = torch.randint(h, (b, 1), generator=generator)
    columns = torch.randint(w, (b, 1), generator=generator)
    inside = [
        (along >= middle - side // 2) & (along < middle - side // 2 + side)
        for along, middle in ((torch.arange(h), rows), (torch.arange(w), columns))
    ]
    hidden = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(hidden.to(images.device), 0.0)
