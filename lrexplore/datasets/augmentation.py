"""ImageNet's augmentation and evaluation, as the recipes of the published work have them."""

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from lrexplore.datasets.image_files import as_rgb


def prepare(image: Image.Image, size: int, seed: int | None) -> Tensor:
    """The image (3, size, size) uint8: with a seed cut at random (8 to 100 % of the area) and mirrored half the
    time, without one shrunk to size / 0.875 and cut in the middle (He et al. 2016, arXiv:1512.03385)."""
    image = as_rgb(image)
    if seed is None:
        image = v2.functional.resize(image, [round(size / 0.875)])
        return v2.functional.pil_to_tensor(v2.functional.center_crop(image, [size, size]))
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
        torch.manual_seed(seed)
        image = v2.RandomResizedCrop(size)(image)
        image = v2.RandomHorizontalFlip()(image)
    return v2.functional.pil_to_tensor(image)
