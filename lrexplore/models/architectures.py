"""The architectures that have a name: torchvision's classification models, EfficientNet-Lite0 and lrexplore's own."""

import difflib
import importlib.util
from functools import cache

import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

from lrexplore.models.own import OWN

LITE0 = "efficientnet_lite0"

# Classifiers that only training runs; torchvision's pretrained models come without them too.
_WITHOUT_AUXILIARY = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
# A prime that is no layer's width: an axis of this size is the class axis.
_PROBE_CLASSES = 7919


def names() -> list[str]:
    """The ImageNet architectures by name, sorted; `efficientnet_lite0` also where timm is not installed."""
    return sorted([*torchvision.models.list_models(module=torchvision.models), LITE0])


def known_names() -> list[str]:
    """The names that `load_model` knows, sorted: `names` and lrexplore's own."""
    return sorted([*names(), *OWN])


def nearest(name: str, candidates: list[str]) -> list[str]:
    """At most three candidates that are spelled most like `name`, best first."""
    return difflib.get_close_matches(name.lower(), candidates, n=3, cutoff=0.5)


def build(name: str, num_classes: int = 1000) -> nn.Module:
    """A randomly initialized model (torch's global generator), in eval mode.

    Auxiliary classifiers (GoogLeNet, Inception v3) are left out: only training runs them.
    Raises ModuleNotFoundError for `efficientnet_lite0` without timm.
    """
    if name in OWN:
        return OWN[name](num_classes).eval()
    if name == LITE0:
        if importlib.util.find_spec("timm") is None:
            raise ModuleNotFoundError(
                f"`{LITE0}` needs timm, which is not installed. Install the extra: pip install -e '.[pretrained]'"
            )
        import timm

        return timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=num_classes).eval()
    extra = _WITHOUT_AUXILIARY.get(name, {})
    return torchvision.models.get_model(name, weights=None, num_classes=num_classes, **extra).eval()


class _NoStorage(TorchFunctionMode):
    """Puts uninitialized tensors on the meta device, and nothing else.

    `torch.device("meta")` would also catch the tensors that RegNet and Swin compute their sizes with.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@cache
def signature(name: str) -> dict[str, tuple[int | None, ...]]:
    """The shape of every tensor in the model's state dict, None where an axis counts the classes.

    Batch counters (`num_batches_tracked`) are left out: old checkpoints lack them. Takes 10 to 300 ms, no
    memory.
    """
    with _NoStorage():
        state = build(name, num_classes=_PROBE_CLASSES).state_dict()
    return {
        key: tuple(None if size == _PROBE_CLASSES else size for size in tensor.shape)
        for key, tensor in state.items()
        if not key.endswith("num_batches_tracked")
    }


def by_popularity() -> list[str]:
    """The names that can be built here, in the order in which an unknown checkpoint is tried."""
    buildable = [name for name in known_names() if name != LITE0 or importlib.util.find_spec("timm")]
    families = ("resnet", "efficientnet", "wide_resnet", "resnext", "mobilenet", "vgg")
    return sorted(buildable, key=lambda name: [not name.startswith(family) for family in families])
