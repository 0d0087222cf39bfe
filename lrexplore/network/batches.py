"""What a loader gives: one meaning of its items, and a model run on them.

An item is

- a tensor: a batch of the model's one input;
- a dict, or what acts like one (a tokenizer's batch): the forward's arguments by name; its `labels` (or `label`) are
  no argument unless the forward names it;
- a tuple or list (input, label, ...): the input first, what follows the label is left aside, and there need be no
  label. The input is any of the above, or a tuple or list of the forward's arguments. Where the forward cannot do with
  one argument, the first entries that it needs are the input: (a, b) or (a, b, label).

The first axis of every tensor is the batch. A list of images of any sizes is one argument of a forward that says so, or
that also takes `targets`, as detectors do.
"""

import inspect
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from lrexplore.network.grouping import GroupReader, Groups
from lrexplore.network.private import WRAPPERS, skeleton
from lrexplore.nn.conv import FactorizedConv2d
from lrexplore.nn.kinds import check_module
from lrexplore.nn.linear import FactorizedLinear

LABELS = ("labels", "label")


class BrokenInputError(ValueError):
    """Inputs that a model takes but that cannot be used, such as NaN."""


class Arguments(tuple):
    """Several arguments of a forward, in its order."""


@dataclass(frozen=True)
class Item:
    """An item as it was understood: `inputs` (a tensor, `Arguments` or a dict by name), and `labels` or None.

    `groups`: the ids of the groups of its inputs; None where nobody says any (`lrexplore.network.grouping`).
    """

    inputs: object
    labels: object = None
    groups: tuple[Hashable, ...] | None = None


def read_item(item, model: nn.Module | None = None) -> Item:
    """What an item of a loader means to `model`. Raises ValueError for one that holds no batch of tensors."""
    if isinstance(item, Item):
        return item
    forward = _Forward(model)
    inputs: Any
    labels = None
    if isinstance(item, (tuple, list)) and not isinstance(item, Arguments):
        if not item:
            raise _no_batch(item)
        needed = forward.num_needed
        if needed > 1 and len(item) >= needed and all(isinstance(part, Tensor) for part in item[:needed]):
            inputs, rest = Arguments(item[:needed]), item[needed:]
        else:
            inputs, rest = item[0], item[1:]
        labels = rest[0] if len(rest) else None
    else:
        inputs = item
    if _acts_like_a_dict(inputs):
        inputs = {name: inputs[name] for name in inputs.keys()}  # noqa: SIM118 - it may not be a Mapping
        for name in LABELS:
            if name in inputs:
                labels = inputs[name] if labels is None else labels
                if name not in forward.names:
                    del inputs[name]
    elif isinstance(inputs, (tuple, list)) and not isinstance(inputs, Arguments):
        images = isinstance(inputs, list) and forward.takes_targets
        inputs = Arguments(inputs) if forward.takes(len(inputs)) and not images else Arguments([inputs])
    tensors = tensors_of(inputs)
    if not tensors or tensors[0].ndim == 0:
        raise _no_batch(item)
    return Item(inputs, labels)


def read_items(loader: Iterable, model: nn.Module | None = None, groups: Groups = None) -> Iterator[Item]:
    """Every item of a loader, understood, with the groups of its inputs; the first is looked at for its batch axis.

    Raises TypeError for a loader that cannot be iterated, ValueError for one without an item, for an item without
    tensors, and for inputs that are no batches.
    """
    check_loader(loader)
    first = not isinstance(loader, _Read)
    empty, reader = True, GroupReader(loader, groups)
    for given, said in reader.items():
        item = read_item(given, model)
        if any(tensor.is_meta for tensor in tensors_of(item.inputs)):
            raise ValueError(
                "`loader` must give tensors that hold values, got one on the meta device. Make its batches on the CPU."
            )
        if first and model is not None:
            _check_batched(model, item.inputs)
        first = empty = False
        ids = reader.ids(given, said, batch_size(item.inputs))
        yield item if ids is None else replace(item, groups=ids)
    if empty:
        raise ValueError(
            "`loader` must give at least one batch, got none. Check its folder and that it is not used up."
        )
    reader.end()


def input_batches(loader: Iterable, model: nn.Module | None = None) -> Iterator:
    """The inputs of every item of a loader; raises as `read_items`."""
    return (item.inputs for item in read_items(loader, model))


def check_loader(loader) -> None:
    """Raises TypeError for a loader that cannot be iterated, or that is one item; takes nothing from it."""
    if isinstance(loader, Tensor):
        raise TypeError(
            f"`loader` must be an iterable of batches, got one tensor {tuple(loader.shape)}. Pass `[tensor]`."
        )
    if _acts_like_a_dict(loader):
        raise TypeError(
            f"`loader` must be an iterable of batches, got one {type(loader).__name__} with "
            f"{', '.join(map(str, loader.keys())) or 'nothing'}. Pass a list with it, `[batch]`."
        )
    iterable = (hasattr(loader, "__iter__") or hasattr(loader, "__getitem__")) and getattr(loader, "ndim", 1) != 0
    if not iterable or isinstance(loader, (str, bytes, nn.Module)):
        raise TypeError(
            f"`loader` must be an iterable of tensors or (tensor, label) pairs, got {type(loader).__name__}. "
            "Pass a DataLoader or a list of batches."
        )


def tensors_of(batch) -> list[Tensor]:
    """The tensors in a batch, however it nests them."""
    if isinstance(batch, Tensor):
        return [batch]
    if _acts_like_a_dict(batch):
        return [tensor for name in batch.keys() for tensor in tensors_of(batch[name])]  # noqa: SIM118
    if isinstance(batch, (tuple, list)):
        return [tensor for part in batch for tensor in tensors_of(part)]
    return []


def batch_size(batch) -> int:
    """The number of inputs in a batch: the length of its first tensor, or of a list of images as detectors take it."""
    if _is_list_of_images(batch):
        return len(batch[0])
    tensors = tensors_of(batch)
    return len(tensors[0]) if tensors and tensors[0].ndim else 1


def take(batch, places: list[int]):
    """The inputs at these places of a batch, as a batch."""
    if isinstance(batch, Tensor):
        return batch[places]
    if _acts_like_a_dict(batch):
        return {name: take(batch[name], places) for name in batch.keys()}  # noqa: SIM118
    if _is_list_of_images(batch):
        return Arguments([[batch[0][place] for place in places], *batch[1:]])
    if isinstance(batch, (tuple, list)):
        parts = [take(part, places) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def device_of(model: nn.Module) -> torch.device:
    """The device of the model's first parameter or buffer; the CPU for a model without any."""
    for tensor in (*check_module(model).parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def to_device(batch, device: torch.device | str):
    """The batch with its tensors on a device."""
    if isinstance(batch, Tensor):
        try:
            return batch.to(device)
        except NotImplementedError:  # nested, or in another library's layout
            raise ValueError(
                f"`inputs` must be dense tensors, got one of {batch.layout} that cannot be moved to {device}. Convert "
                "it with `.to_dense()`."
            ) from None
    if _acts_like_a_dict(batch):
        return {name: to_device(batch[name], device) for name in batch.keys()}  # noqa: SIM118
    if isinstance(batch, (tuple, list)):
        parts = [to_device(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def call(model: nn.Module, batch):
    """The model's output on a batch; a dict gives the arguments by name, `Arguments` in their order."""
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(*batch) if isinstance(batch, Arguments) else model(batch)


def as_example(batch):
    """The batch as `find_layers` takes an example: a dict of the forward's arguments, or a tuple of them."""
    if isinstance(batch, Mapping):
        return batch
    return tuple(batch) if isinstance(batch, Arguments) else (batch,)


def example_inputs(example, model: nn.Module):
    """The inputs of an `example_input`: the forward's arguments as a tuple, else what an item of a loader is."""
    is_sequence = isinstance(example, (tuple, list)) and not isinstance(example, Arguments)
    if is_sequence and example and isinstance(example[0], Tensor) and _Forward(model).takes(len(example)):
        return Arguments(example)
    return read_item(example, model).inputs


def run_model(model: nn.Module, batch, *, name: str = "loader"):
    """The model's output on a batch, which is moved to its device; see `call`.

    Raises ValueError, with the batch's shape and the model's own words, for a batch that it refuses.
    """
    device = device_of(model)
    try:
        batch = to_device(batch, device)
        return call(model, batch)
    except BrokenInputError:  # said by us, from a hook
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
        given = _shapes(batch) or f"a {type(batch).__name__}"
        first_line = (str(error).strip().splitlines() or [""])[0]
        raise ValueError(
            f"`{name}` must {'give batches' if name == 'loader' else 'be a batch'} that the model takes, got {given}, "
            f"which it refused: "
            f"{type(error).__name__}: {first_line}. Resize and normalize the inputs as the model expects."
        ) from error


_evaluated: dict[nn.Module, list] = {}  # model -> [how many blocks it is in, its modules' modes before]
_evaluated_lock = Lock()


@contextmanager
def evaluation(model: nn.Module):
    """The model in evaluation mode, without gradients; each module's own mode comes back at the end.

    Of several blocks, in several threads too, the last one to end brings it back.
    """
    with _evaluated_lock:
        entry = _evaluated.setdefault(model, [0, {}])
        entry[0] += 1
        if entry[0] == 1:
            entry[1] = {module: module.training for module in model.modules()}
            model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        with _evaluated_lock:
            entry[0] -= 1
            if entry[0] == 0:
                del _evaluated[model]
                for module, mode in entry[1].items():
                    module.training = mode


def first_inputs(
    loader: Iterable, num_inputs: int, model: nn.Module | None = None, groups: Groups = None
) -> tuple[list, Iterable[Item]]:
    """The first batches with together at least `num_inputs` inputs (fewer if there are no more), and all items.

    The second is good once, also where `loader` is a generator. Raises as `read_items`.
    """
    taken, items = first_items(loader, num_inputs, model, groups)
    return [item.inputs for item in taken], items


def first_items(
    loader: Iterable, num_inputs: int, model: nn.Module | None = None, groups: Groups = None
) -> tuple[list[Item], Iterable[Item]]:
    """`first_inputs` with the first items instead of their inputs."""
    iterator, taken, count = read_items(loader, model, groups), [], 0
    for item in iterator:
        taken.append(item)
        count += batch_size(item.inputs)
        if count >= num_inputs:
            break
    return taken, _Read(taken, iterator)


class _Read:
    """A loader of items that were understood already."""

    def __init__(self, taken: list[Item], rest: Iterator[Item]):
        self._taken, self._rest = taken, rest

    def __iter__(self) -> Iterator[Item]:
        yield from self._taken
        yield from self._rest


class _Forward:
    """What arguments the forward of a model takes; of None, one."""

    def __init__(self, model: nn.Module | None):
        while type(model).__name__ in WRAPPERS:
            model = getattr(model, WRAPPERS[type(model).__name__])
        try:
            forward = check_module(model).forward if model is not None else None
            parameters = inspect.signature(forward).parameters.values() if forward is not None else ()
        except (TypeError, ValueError):  # a forward written in C
            parameters = ()
        places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        placed = [parameter for parameter in parameters if parameter.kind in places]
        self.names = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}
        self.num_needed = max(1, sum(parameter.default is parameter.empty for parameter in placed))
        many = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
        # What a loss is computed with is given in training only.
        inputs = [one for one in placed if one.default is one.empty or one.name not in (*LABELS, "target", "targets")]
        self._most = float("inf") if many or not parameters else len(inputs)
        self.takes_targets = any(one.name == "targets" for one in placed[1:])  # as detectors do
        self._one_sequence = bool(placed) and any(
            word in str(placed[0].annotation).lower() for word in ("list", "tuple", "sequence")
        )

    def takes(self, count: int) -> bool:
        """Whether that many arguments in order are what it takes, and not one sequence of them."""
        return self.num_needed <= count <= self._most and not self._one_sequence


def _acts_like_a_dict(batch) -> bool:
    return isinstance(batch, Mapping) or (
        hasattr(batch, "keys") and hasattr(batch, "__getitem__") and not isinstance(batch, (Tensor, nn.Module, type))
    )


def _is_list_of_images(batch) -> bool:
    return isinstance(batch, Arguments) and bool(batch) and isinstance(batch[0], list)


def _shapes(batch) -> str:
    tensors = tensors_of(batch)
    return " and ".join("nested" if tensor.is_nested else str(tuple(tensor.shape)) for tensor in tensors)


def _no_batch(item) -> ValueError:
    got = _shapes(item) or type(item[0] if isinstance(item, (tuple, list)) and item else item).__name__
    return ValueError(
        f"`loader` must give batches of tensors, alone, with labels or by name, got {got}. Convert what it gives "
        "with `torch.as_tensor`, several inputs at once."
    )


class _Unbatched(Exception):
    pass


def _check_batched(model: nn.Module, inputs) -> None:
    """Raises ValueError for one input without a batch axis, which convolutions and linear layers would take.

    It is seen by what reaches the first such layer, in a run without values: nothing is computed.
    """
    if _is_list_of_images(inputs):
        return
    sizes = {tensor.ndim for tensor in tensors_of(inputs)}

    def look(module, args):
        single = 1 if isinstance(module, (nn.Linear, FactorizedLinear)) else len(module.kernel_size) + 1
        if args and isinstance(args[0], Tensor) and args[0].ndim == single and single in sizes:
            raise _Unbatched

    try:
        copy = skeleton(model)
        for module in copy.modules():
            if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd, FactorizedLinear, FactorizedConv2d)):
                module.register_forward_pre_hook(look)
        with torch.no_grad():
            call(copy, to_device(inputs, "meta"))
    except _Unbatched:
        raise ValueError(
            f"`loader` must give batches, got one input {_shapes(inputs)} without a batch axis. Pass a DataLoader of "
            "it, or `x[None]`."
        ) from None
    except Exception:  # the forward is the user's; what it refuses is said where it is run
        return
