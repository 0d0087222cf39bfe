"""What checks the shapes that the package's annotations name, while tests run (see conftest.py)."""

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import get_args

import beartype
from jaxtyping import AbstractArray

ROOMS = ("lrexplore.linalg", "lrexplore.dual", "lrexplore.init", "lrexplore.proof")
_checked = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))  # an int is a float


def check(function: Callable) -> Callable:
    """The function, its shapes checked at every call; as it is if its annotations name none.

    All else in its signature is left alone: wrong arguments are the business of the function's own errors.
    """
    shapes = {name: hint for name, hint in inspect.get_annotations(function).items() if _names_shape(hint)}
    if not shapes or not isinstance(function, FunctionType):
        return function
    parts = function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    copy = FunctionType(*parts)
    copy.__kwdefaults__, copy.__qualname__, copy.__annotations__ = (
        function.__kwdefaults__,
        function.__qualname__,
        shapes,
    )
    copy.__module__, copy.__doc__ = function.__module__, function.__doc__
    return _checked(copy)


def _names_shape(annotation: object) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
        return True
    return any(map(_names_shape, get_args(annotation)))
