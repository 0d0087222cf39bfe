"""Which layers of a network a training factorizes: the rules "inner", "convolutions" and "all"."""

from collections.abc import Iterable
from typing import Protocol, TypeVar


class _Layer(Protocol):
    @property
    def kind(self) -> str: ...

    @property
    def skip_reason(self) -> str | None: ...


_AnyLayer = TypeVar("_AnyLayer", bound=_Layer)


def which_layers(layers: Iterable[_AnyLayer], rule: str) -> list[_AnyLayer]:
    """Of a network's layers, in their order, those that the rule lets be factorized and that can be.

    "inner": all but the first convolution and the last linear layer, whose size is that of the classes.
    "convolutions": every convolution. "all": every layer.
    """
    chosen = list(layers)
    if rule == "inner":
        stem = next((layer for layer in chosen if layer.kind == "conv"), None)
        head = next((layer for layer in reversed(chosen) if layer.kind == "linear"), None)
        chosen = [layer for layer in chosen if layer is not stem and layer is not head]
    elif rule == "convolutions":
        chosen = [layer for layer in chosen if layer.kind == "conv"]
    return [layer for layer in chosen if layer.skip_reason is None]
