"""What is asked of a set of images, and what comes back."""

from typing import NamedTuple

import torch
from torch import Tensor


class Request(NamedTuple):
    """One batch: which images, and the seed of their augmentation (None: as they are, for evaluation).

    The answer depends on the request alone, not on what was asked before, on workers or on processes: that is
    what lets a killed run go on with the same numbers.
    """

    indices: list[int]
    seed: int | None = None


class Batch(NamedTuple):
    """Images (b, c, h, w), labels (b,) int64, names of files that could not be read.

    Images are uint8 with 1 or 3 channels, or floating ones as the network gets them.
    An unreadable image is missing from the other two.
    """

    images: Tensor
    labels: Tensor
    corrupt: list[str]


def normalize(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Images (b, 3, h, w) float32 with mean 0 and variance 1 over the data set, from uint8 ones; gray is repeated.

    On the device of `images`: a byte a pixel is a quarter of what would travel otherwise. Images that are floating
    already come back as they are, as float32.
    """
    if images.is_floating_point():
        return images.float()
    shift = torch.tensor(mean, device=images.device)[:, None, None] * 255
    scale = torch.tensor(std, device=images.device)[:, None, None] * 255
    return ((images.float() - shift) / scale).expand(-1, 3, -1, -1)
