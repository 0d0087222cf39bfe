"""What the choices `model` and `data` stand for: a name that lrexplore knows, or a person's own function."""

import inspect
import os
from collections.abc import Callable

from torch import nn

from lrexplore.datasets import Data, open_data, own_data
from lrexplore.models.catalogue import check_network, network
from lrexplore.recipes.config import Config
from lrexplore.recipes.references import folder_of, is_reference, resolve


def check_choices(config: Config) -> None:
    """Raises ValueError for an unknown network, ImportError for a function that cannot be imported; builds nothing."""
    if is_reference(config.model):
        resolve(config.model, "model")
    else:
        check_network(config.model)
    if is_reference(config.data):
        resolve(config.data, "data")


def import_environment(config: Config) -> dict[str, str]:
    """The variables with which a new process finds the modules of a person's own functions where this one did."""
    own = [folder_of(text) for text in (config.model, config.data) if is_reference(text)]
    folders = [*filter(None, own), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(folders))} if own else {}


def network_of(config: Config, num_classes: int) -> nn.Module:
    """The network, drawn from torch's global generator, in training mode."""
    if not is_reference(config.model):
        return network(config.model, num_classes)
    build = resolve(config.model, "model")
    model = build(num_classes) if _takes_classes(build) else build()
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"`model` must be a function that returns an nn.Module, got {config.model!r}, which returns a"
            f" {type(model).__name__}. Return the network."
        )
    return model.train()


def data_of(config: Config) -> Data:
    """The images of a run."""
    if not is_reference(config.data):
        return open_data(
            config.data, held_out=config.held_out, image_size=config.image_size, num_images=config.num_images
        )
    made = resolve(config.data, "data")()
    return own_data(config.data, made, image_size=config.image_size, num_images=config.num_images)


def _takes_classes(build: Callable) -> bool:
    """Whether it has an argument `num_classes`, or one that must be given."""
    parameters = inspect.signature(build).parameters
    needed = [one for one in parameters.values() if one.default is one.empty and one.kind <= one.POSITIONAL_OR_KEYWORD]
    return "num_classes" in parameters or len(needed) == 1
