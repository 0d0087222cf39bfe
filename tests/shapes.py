"""What checks the shapes that the package's annotations name, while tests run (see conftest.py)."""

import inspect
import sys
from collections.abc import Callable
from types import FunctionType
from typing import get_args

import beartype
from jaxtyping import AbstractArray

# Not linalg.factors and linalg.matricization: layers call these, and torch.compile cannot trace a checked function.
ROOMS = (
    *(f"lrexplore.linalg.{noun}" for noun in ("decomposition", "inputs", "norms", "products", "rank", "spectrum")),
    *("lrexplore.dual", "lrexplore.init", "lrexplore.proof"),
)
CALLS = 1  # of every function in every test: an iteration makes thousands, and all would cost a third of the time
_checked = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))  # an int is a float
_resting: list[tuple[FunctionType, Callable[[], None]]] = []


def check(function: FunctionType) -> Callable:
    """The function, its shapes checked in the first call of every test; all else in its signature is left alone.

    Wrong arguments are the business of the function's own errors. jaxtyping calls this with stand-ins that have a
    function's name and annotations, once for its arguments and once with its result.
    """
    shapes = {name: hint for name, hint in inspect.get_annotations(function).items() if _names_shape(hint)}
    limit = CALLS if shapes else 0
    parts = function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    copy = FunctionType(*parts)
    copy.__annotations__, copy.__kwdefaults__ = shapes, function.__kwdefaults__
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    tested = _checked(copy) if shapes else function
    count = 0

    def again() -> None:
        nonlocal count
        count = 0

    def counted(*args, **kwargs):
        nonlocal count
        count += 1
        if count >= limit:
            _rest(function, again)
        return tested(*args, **kwargs)

    return counted


def check_again() -> None:
    """Ends the rest of all functions."""
    for function, again in _resting:
        del function.__no_type_check__
        again()
    _resting.clear()


def _rest(function: FunctionType, again: Callable[[], None]) -> None:
    """Lets jaxtyping pass calls of the function by that this one stands for."""
    found: object = sys.modules[function.__module__]
    for name in function.__qualname__.split("."):
        found = inspect.getattr_static(found, name, None)  # None for what is defined in a function
    found = getattr(found, "func", found)  # of a cached property
    found = getattr(found, "fget", None) or getattr(found, "__func__", found)
    if isinstance(found, FunctionType) and not hasattr(found, "__no_type_check__"):
        found.__no_type_check__ = True
        _resting.append((found, again))


def _names_shape(annotation: object) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
        return True
    return any(map(_names_shape, get_args(annotation)))
