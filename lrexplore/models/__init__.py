"""Networks to explore: by name, from a checkpoint, with published weights."""

from lrexplore.models.architectures import names
from lrexplore.models.checkpoint import load_checkpoint, read_state_dict, recognize
from lrexplore.models.pretrained import available_weights, categories, preprocess
from lrexplore.models.zoo import load_model

__all__ = [
    "available_weights",
    "categories",
    "load_checkpoint",
    "load_model",
    "names",
    "preprocess",
    "read_state_dict",
    "recognize",
]
