"""What a model answers with: the logits in it, how far two answers agree, and the classes that labels name."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Choice = str | int | Callable[[object], Tensor] | None
"""Where the logits are in an answer: a name, a place, or a function of the answer; None for the obvious ones."""


def answer_of(output, logits: Choice = None) -> Tensor:
    """The tensor of a model's output that counts: the output itself, its `logits`, else its first tensor.

    Raises ValueError where there is none, or not the one asked for.
    """
    if logits is None:
        answer = _obvious(output)
    elif callable(logits):
        answer = logits(output)
    else:
        answer = _named(output, logits)
    if not isinstance(answer, Tensor):
        raise ValueError(
            f"`model` must answer with logits (inputs, classes), got {_described(output)}"
            f"{'' if logits is None else f' and `logits={logits!r}`'}. Say which part they are with `logits=`, a name, "
            "a place or a function, or wrap the model."
        )
    return answer


def logits_of(output, logits: Choice = None) -> Tensor:
    """The logits (inputs, classes) of a model's output, float64; raises ValueError as `answer_of`, and for others."""
    answer = answer_of(output, logits)
    if answer.ndim != 2:
        raise ValueError(
            f"`model` must answer with logits (inputs, classes), got {tuple(answer.shape)}. Wrap it in a module that "
            "does, or say where they are with `logits=`."
        )
    return answer.double()


def divergences(own: Tensor, other: Tensor) -> Tensor:
    """KL divergence of each input's probabilities by `other` from those by `own`, nats, of logits (inputs, classes)."""
    terms = F.kl_div(other.log_softmax(1), own.log_softmax(1), log_target=True, reduction="none")
    return terms.sum(1).clamp_min(0)  # rounding takes it below


def movements(old: Tensor, new: Tensor) -> Tensor:
    """(inputs,): how far each answer moved. KL divergence for logits (inputs, classes), nats, else the relative squared
    change."""
    if old.ndim == 2 and old.shape[1] > 1:
        return divergences(old, new)
    return relative_changes(old, new)


def relative_changes(old: Tensor, new: Tensor) -> Tensor:
    """(inputs,): squared change of each answer, relative to its square."""
    return (new - old).flatten(1).square().sum(1) / old.flatten(1).square().sum(1).clamp_min(1e-30)


def agreements(own: Tensor, other: Tensor, num_top: int = 1) -> Tensor:
    """Whether the most likely class of each input by `other` is among the `num_top` most likely ones by `own`."""
    top = own.topk(min(num_top, own.shape[1])).indices
    return (top == other.argmax(1)[:, None]).any(1)


def class_numbers(labels, num_inputs: int, num_classes: int) -> Tensor:
    """The class of every input: labels as numbers (inputs,) or (inputs, 1), or one-hot (inputs, classes).

    Raises ValueError for any others.
    """
    try:
        numbers = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        raise _no_labels(f"a {type(labels).__name__}", num_inputs, num_classes) from None
    shape = tuple(numbers.shape)
    if shape == (num_inputs, num_classes) and num_classes > 1:
        hot = numbers != 0
        if bool((hot.sum(1) == 1).all()) and bool((numbers[hot] == 1).all()):
            return hot.int().argmax(1)
        raise _no_labels(f"{shape} that are not one-hot", num_inputs, num_classes)
    if shape not in ((num_inputs,), (num_inputs, 1)):
        raise _no_labels(f"{shape}", num_inputs, num_classes)
    if numbers.is_floating_point() or numbers.is_complex():
        raise _no_labels(f"{shape} of {numbers.dtype}", num_inputs, num_classes)
    numbers = numbers.long().flatten()
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < num_classes:
        raise _no_labels(f"numbers from {int(numbers.min())} to {int(numbers.max())}", num_inputs, num_classes)
    return numbers


def _no_labels(given: str, num_inputs: int, num_classes: int) -> ValueError:
    return ValueError(
        f"`loader` must give labels that are class numbers ({num_inputs},) in 0..{num_classes - 1} or one-hot "
        f"({num_inputs}, {num_classes}), got {given}. Give the inputs alone, `(inputs,)`, to compare without labels."
    )


def _obvious(output) -> object:
    if isinstance(output, Tensor):
        return output
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(named, Tensor):
        return named
    # A number before the others is a loss.
    return next((part for part in _parts(output) if isinstance(part, Tensor) and part.ndim), None)


def _named(output, logits: str | int) -> object:
    try:
        if isinstance(logits, str):
            return output[logits] if isinstance(output, Mapping) else getattr(output, logits)
        return _parts(output)[logits]
    except (KeyError, IndexError, AttributeError, TypeError):
        return None


def _parts(output) -> list:
    if isinstance(output, Mapping):
        return list(output.values())
    return list(output) if isinstance(output, (tuple, list)) else list(getattr(output, "__dict__", {}).values())


def _described(output) -> str:
    kind = type(output).__name__
    names = list(output) if isinstance(output, Mapping) else list(getattr(output, "__dict__", {}))
    return f"a {kind} with {', '.join(map(str, names[:6]))}" if names else f"a {kind}"
