"""Networks to explore: by name, from a checkpoint, with published weights."""

from importlib import import_module

_HOMES = {
    "available_weights": "pretrained",
    "categories": "pretrained",
    "load_checkpoint": "checkpoint",
    "load_model": "zoo",
    "names": "architectures",
    "preprocess": "pretrained",
    "read_state_dict": "state_dicts",
    "recognize": "checkpoint",
}
__all__ = list(_HOMES)


def __getattr__(name):
    """The public name, imported on first use: torchvision takes seconds, and not everything here needs it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lrexplore.models' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
