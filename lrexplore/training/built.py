"""What the choices `model` and `data` stand for: a name that lrexplore knows, or a person's own function."""

import inspect
import os
from collections.abc import Callable

from torch import nn

from lrexplore.datasets import Data, open_data, own_data
from lrexplore.models.catalogue import check_network, network
from lrexplore.models.language import LANGUAGE
from lrexplore.recipes.config import HEAD_CHOICES, LANGUAGE_MODELS, Config
from lrexplore.recipes.references import folder_of, is_reference, resolve


def check_choices(config: Config) -> None:
    """Raises ValueError for an unknown network, ImportError for a function that cannot be imported; builds nothing."""
    if is_reference(config.model):
        resolve(config.model, "model")
    elif config.model not in LANGUAGE_MODELS:
        check_network(config.model)
    check_heads(config)
    if is_reference(config.data) and config.model not in LANGUAGE_MODELS:
        resolve(config.data, "data")


def check_heads(config: Config) -> None:
    """Raises ValueError for choices of heads in a network that is none for text, and the other way round."""
    if config.model in LANGUAGE_MODELS:
        if config.execution == "fastest":
            raise ValueError(
                f"`execution` must be factors or product for {config.model}, got 'fastest', which measures images."
                " Choose one of them."
            )
        return
    changed = [name for name in HEAD_CHOICES if getattr(config, name) != getattr(Config, name)]
    if changed:
        raise ValueError(
            f"`{changed[0]}` must be left out for a network that is none of {', '.join(LANGUAGE_MODELS)}, got"
            f" {getattr(config, changed[0])!r} for {config.model}. Leave it out."
        )


def import_environment(config: Config) -> dict[str, str]:
    """The variables with which a new process finds the modules of a person's own functions where this one did."""
    own = [folder_of(text) for text in (config.model, config.data) if is_reference(text)]
    folders = [*filter(None, own), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(folders))} if own else {}


def network_of(config: Config, num_classes: int) -> nn.Module:
    """The network, drawn from torch's global generator, in training mode."""
    if config.model in LANGUAGE_MODELS:
        heads = {name: getattr(config, name) for name in ("head_scale", "qk_initializer", "ov_initializer")}
        return LANGUAGE[config.model](num_classes, dropout=config.dropout, **heads).train()
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
