"""Batches of any loader, and a model run on one of them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map


class BrokenInputError(ValueError):
    """Inputs that a model takes but that cannot be used, such as NaN."""


def input_batches(loader: Iterable) -> Iterator:
    """The model's input of every item: the item itself, or the first entry of a (tensor, label) pair.

    Raises TypeError for a loader that cannot be iterated, ValueError for one without an item.
    """
    check_loader(loader)
    empty = True
    for item in loader:
        empty = False
        yield item[0] if isinstance(item, (tuple, list)) and item else item
    if empty:
        raise ValueError(
            "`loader` must give at least one batch, got none. Check its folder and that it is not used up."
        )


def check_loader(loader) -> None:
    """Raises TypeError for a loader that cannot be iterated, or that is one tensor; takes nothing from it."""
    if isinstance(loader, Tensor):
        raise TypeError(
            f"`loader` must be an iterable of batches, got one tensor {tuple(loader.shape)}. Pass `[tensor]`."
        )
    if not (hasattr(loader, "__iter__") or hasattr(loader, "__getitem__")):
        raise TypeError(
            f"`loader` must be an iterable of tensors or (tensor, label) pairs, got {type(loader).__name__}. "
            "Pass a DataLoader or a list of batches."
        )


def batch_size(batch) -> int:
    """The number of inputs in a batch: the length of its first tensor."""
    tensors = [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]
    return len(tensors[0]) if tensors and tensors[0].ndim else 1


def device_of(model: nn.Module) -> torch.device:
    """The device of the model's first parameter or buffer; the CPU for a model without any."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def to_device(batch, device: torch.device):
    """The batch with its tensors on a device."""
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, batch)


def call(model: nn.Module, batch):
    """The model's output on a batch; a dict gives the arguments by name."""
    return model(**batch) if isinstance(batch, Mapping) else model(batch)


def as_example(batch):
    """The batch as `find_layers` takes an example: a dict as it is, anything else as the forward's one argument."""
    return batch if isinstance(batch, Mapping) else (batch,)


def run_model(model: nn.Module, batch):
    """The model's output on a batch, which is moved to its device; a dict gives the arguments by name.

    Raises ValueError, with the batch's shape and the model's own words, for a batch it refuses.
    """
    batch = to_device(batch, device_of(model))
    try:
        return call(model, batch)
    except BrokenInputError:  # said by us, from a hook
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
        shapes = [tuple(leaf.shape) for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]
        given = " and ".join(map(str, shapes)) or f"a {type(batch).__name__}"
        first_line = (str(error).strip().splitlines() or [""])[0]
        raise ValueError(
            f"`loader` must give batches that the model takes, got {given}, which it refused: "
            f"{type(error).__name__}: {first_line}. Resize and normalize the inputs as the model expects."
        ) from error


@contextmanager
def evaluation(model: nn.Module):
    """The model in evaluation mode, without gradients; each module's own mode comes back at the end."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        for module, mode in modes.items():
            module.training = mode


def first_inputs(loader: Iterable, num_inputs: int) -> tuple[list, Iterable]:
    """The first batches with together at least `num_inputs` inputs (fewer if there are no more), and a loader of all.

    The second is good once, also where `loader` is a generator.
    """
    iterator, taken, count = iter(input_batches(loader)), [], 0
    for batch in iterator:
        taken.append(batch)
        count += batch_size(batch)
        if count >= num_inputs:
            break

    def rest():
        yield from taken
        yield from iterator

    return taken, rest()
