"""ImageNet's augmentation and evaluation, as the recipes of the published work have them."""

import os
import stat

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2


def open_image(path: str) -> Image.Image:
    """The image in a file, to be decoded. Raises OSError for a pipe or a device, which would keep us waiting."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"{path} is no file")
    return Image.open(path)


def prepare(image: Image.Image, size: int, seed: int | None) -> Tensor:
    """The image (3, size, size) uint8: with a seed cut at random (8 to 100 % of the area) and mirrored half the
    time, without one shrunk to size / 0.875 and cut in the middle (He et al. 2016, arXiv:1512.03385)."""
    image = image.convert("RGB")
    if seed is None:
        image = v2.functional.resize(image, [round(size / 0.875)])
        return v2.functional.pil_to_tensor(v2.functional.center_crop(image, [size, size]))
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
        torch.manual_seed(seed)
        image = v2.RandomResizedCrop(size)(image)
        image = v2.RandomHorizontalFlip()(image)
    return v2.functional.pil_to_tensor(image)
